"""Faults of the service itself: callers get the truth in a status, and nothing else."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import grpc
import pytest
from marketplace.v1 import user_pb2, user_pb2_grpc

from tablestakes.app import App
from tablestakes.crud.once import Once
from tablestakes.crud.query.token import PageTokens
from tablestakes.edge.door import Door
from tablestakes.edge.rpc import Edge
from tablestakes.edge.unary import unary
from tablestakes.telemetry import RpcMetrics, new_registry
from tests.gadgets import CANARY, gadget_pb2, gadget_pb2_grpc
from tests.process import HANGS
from tests.service import SERVICE
from tests.serving import eventually, serving, settings_for
from tests.status import refusal


async def poke(gadgets: Any, how: str, deadline: float = HANGS, **fields: Any) -> Any:
    """Ask the server to misbehave."""
    return await gadgets.PokeGadget(gadget_pb2.PokeGadgetRequest(how=how, **fields), timeout=deadline)


@pytest.mark.parametrize("how", ["raise", "sql", "wrong type"])
async def test_nothing_of_an_exception_reaches_a_caller(
    gadgets: Any, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected exception is INTERNAL with an error id, under which the log has all of it."""
    with caplog.at_level(logging.ERROR), pytest.raises(grpc.aio.AioRpcError) as caught:
        await poke(gadgets, how)
    told = refusal(caught.value)
    assert told.code is grpc.StatusCode.INTERNAL
    sent = json.dumps([told.message, dict(told.info.metadata), str(caught.value.trailing_metadata())]).lower()
    for secret in (CANARY, "runtimeerror", "select", "nowhere", "sqlite", "asyncpg", "traceback", "str"):
        assert secret not in sent.replace("restr", "")
    assert told.info.metadata["errorId"] in told.message


async def test_a_cancellation_from_within_gets_a_status(gadgets: Any) -> None:
    """Work that is cancelled by anything but its caller is UNAVAILABLE, at once and not at the deadline."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await poke(gadgets, "cancel")
    told = refusal(caught.value)
    assert (told.code, told.info.reason) == (grpc.StatusCode.UNAVAILABLE, "WORK_CANCELLED")
    assert told.retry_delay == 1.0


async def test_a_caller_without_a_deadline_gets_the_servers(empty_url: str) -> None:
    """A call that takes too long ends by the server's default deadline where its caller set none."""
    async with (
        serving(settings_for(empty_url, default_deadline=0.2)) as app,
        grpc.aio.insecure_channel(app.address) as channel,
    ):
        gadgets = gadget_pb2_grpc.GadgetServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gadgets.PokeGadget(gadget_pb2.PokeGadgetRequest(how="sleep", seconds=1.0))
        told = refusal(caught.value)
        assert told.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert told.info.reason == "DEADLINE_EXCEEDED"
        # A caller's own deadline, later or sooner, is what counts.
        assert await poke(gadgets, "sleep", seconds=0.4)


async def test_a_callers_deadline_is_answered_in_time(gadgets: Any, app: App) -> None:
    """A caller that waits one second has an answer by then, and the server counts the same status."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await poke(gadgets, "sleep", deadline=1.0, seconds=2.0)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await eventually(lambda: _handled(app, "DeadlineExceeded") >= 1, HANGS)


async def test_a_caller_that_leaves_is_counted_and_its_work_ends(gadgets: Any, app: App) -> None:
    """A cancelled call is counted as Canceled, and its work, which has not reached the database, is dropped."""
    await eventually(lambda: not app.tasks.in_progress, HANGS)  # another test's
    before = _handled(app, "Canceled")
    call = gadgets.PokeGadget(gadget_pb2.PokeGadgetRequest(how="sleep", seconds=2.0), timeout=HANGS)
    await eventually(lambda: app.tasks.in_progress, HANGS)
    call.cancel()
    await eventually(lambda: _handled(app, "Canceled") == before + 1, HANGS)
    await eventually(lambda: not app.tasks.in_progress, HANGS)


async def test_an_unknown_outcome_is_said_to_be_unknown(postgres_url: str) -> None:
    """Where the database does not say whether a write took effect, the caller is told so, and not to try again."""
    async with serving(settings_for(postgres_url)) as app, grpc.aio.insecure_channel(app.address) as channel:
        async with app.database.engine.connect() as connection:
            for statement in (
                "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '40003'; END $$",
                "CREATE TRIGGER lose BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION lose()",
            ):
                await connection.exec_driver_sql(statement)
        user = user_pb2.User(email="lost@example.com", username="lost")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await user_pb2_grpc.UserServiceStub(channel).CreateUser(user_pb2.CreateUserRequest(user=user))
    told = refusal(caught.value)
    assert (told.code, told.info.reason) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")
    assert told.info.metadata == {"outcome": "unknown"}
    assert told.retry_delay is None, "a client that tries again might do it twice"


async def test_callers_that_leave_are_counted_by_a_code_that_is_known(empty_url: str) -> None:
    """Of 24 callers that leave while an error is made or sent to them, none is counted as Unknown."""
    callers = 24
    async with serving(settings_for(empty_url)) as app, grpc.aio.insecure_channel(app.address) as channel:
        users = user_pb2_grpc.UserServiceStub(channel)
        for turn in range(3):
            calls = [users.GetUser(user_pb2.GetUserRequest(name=f"users/{number}")) for number in range(callers)]
            for number, call in enumerate(calls):
                # Some leave before the server has heard of them, some while it answers, some when they have it.
                for _ in range(number % 6):
                    await asyncio.sleep(0.0005 * turn)
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        await eventually(lambda: _started(app, "GetUser") == sum(_codes(app, "GetUser").values()), HANGS)
        assert _codes(app, "GetUser").keys() <= {"NotFound", "Canceled"}


class GoneContext:
    """The context of a call whose caller has left by the time that the status is sent.

    Args:
        data: The request that it sent.

    Attributes:
        aborted: The codes that were to be sent.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.aborted: list[grpc.StatusCode] = []

    async def read(self) -> bytes:
        """Return the request."""
        return self._data

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Return no metadata."""
        return ()

    def time_remaining(self) -> None:
        """Say that there is no deadline."""

    def add_done_callback(self, _callback: object) -> None:
        """Forget what waits for the end of the call."""

    async def abort(self, code: grpc.StatusCode, _message: str, _metadata: object) -> None:
        """Wait for a slow connection, until grpc.aio cancels the call because the caller has left."""
        self.aborted.append(code)
        await asyncio.sleep(0)
        raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\xff\xff", "InvalidArgument"), (b"", "InvalidArgument"), (b"\n\x0fusers/987654321", "NotFound")],
    ids=["malformed", "invalid", "not found"],
)
async def test_a_status_that_nobody_reads_any_more_is_counted(tmp_path: Path, data: bytes, code: str) -> None:
    """A call whose caller leaves while its status is sent is counted by that status."""
    async with serving(settings_for(f"sqlite+aiosqlite:///{tmp_path}/gone.db")) as app:
        registry = new_registry({}, name="gone")
        edge = Edge(database=app.database, once=Once(), tasks=app.tasks, door=Door(), metrics=RpcMetrics(registry))
        (method,) = (each for each in SERVICE.bind(PageTokens(b"")) if each.name == "GetUser")
        handler: Any = unary(method, edge)
        context = GoneContext(data)
        with pytest.raises(asyncio.CancelledError):
            await handler.stream_unary(None, context)
    assert len(context.aborted) == 1
    counted = {
        sample.labels["grpc_code"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "grpc_server_handled_total" and sample.value
    }
    assert counted == {code: 1.0}


def _handled(app: App, code: str) -> float:
    return _codes(app, "PokeGadget").get(code, 0.0)


def _codes(app: App, method: str) -> dict[str, float]:
    """Return how many calls of a method ended, by their codes; those that none ended with are left out."""
    return {
        sample.labels["grpc_code"]: sample.value
        for family in app.registry.collect()
        for sample in family.samples
        if sample.name == "grpc_server_handled_total" and sample.labels["grpc_method"] == method and sample.value
    }


def _started(app: App, method: str) -> float:
    """Return how many calls of a method have begun."""
    return sum(
        sample.value
        for family in app.registry.collect()
        for sample in family.samples
        if sample.name == "grpc_server_started_total" and sample.labels["grpc_method"] == method
    )
