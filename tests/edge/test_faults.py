"""What callers are told when the service itself is at fault: the truth, and nothing else."""

import json
import logging
from typing import Any

import grpc
import pytest

from tablestakes.app import App
from tests.gadgets import CANARY, gadget_pb2, gadget_pb2_grpc
from tests.serving import eventually, serving, settings_for
from tests.status import refusal


async def poke(gadgets: Any, how: str, deadline: float = 10, **fields: Any) -> Any:
    """Ask the server to misbehave."""
    return await gadgets.PokeGadget(gadget_pb2.PokeGadgetRequest(how=how, **fields), timeout=deadline)


@pytest.mark.parametrize("how", ["raise", "sql", "wrong type"])
async def test_nothing_of_an_exception_reaches_a_caller(
    gadgets: Any, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected exception is INTERNAL with an id, under which the log has all of it."""
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
        await poke(gadgets, "cancel", deadline=5)
    told = refusal(caught.value)
    assert told.code is grpc.StatusCode.UNAVAILABLE
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
        assert await poke(gadgets, "sleep", deadline=5, seconds=0.4)


async def test_a_callers_deadline_is_answered_in_time(gadgets: Any, app: App) -> None:
    """A caller that waits two tenths of a second has an answer within them, made by the server."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await poke(gadgets, "sleep", deadline=0.3, seconds=1.0)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await eventually(lambda: _handled(app, "DeadlineExceeded") >= 1)


async def test_a_caller_that_leaves_is_counted_and_its_work_ends(gadgets: Any, app: App) -> None:
    """A cancelled call is counted as Canceled at once, and what it had begun goes on to its end."""
    await eventually(lambda: not app.tasks.in_progress)  # another test's
    before = _handled(app, "Canceled")
    call = gadgets.PokeGadget(gadget_pb2.PokeGadgetRequest(how="sleep", seconds=0.3), timeout=5)
    await eventually(lambda: app.tasks.in_progress)
    call.cancel()
    await eventually(lambda: _handled(app, "Canceled") == before + 1)
    assert app.tasks.in_progress
    await eventually(lambda: not app.tasks.in_progress)


def _handled(app: App, code: str) -> float:
    labels = {
        "grpc_type": "unary",
        "grpc_service": "gadget.v1.GadgetService",
        "grpc_method": "PokeGadget",
        "grpc_code": code,
    }
    return app.registry.get_sample_value("grpc_server_handled_total", labels) or 0.0
