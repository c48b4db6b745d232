"""Gates: they are asked before a request is decoded, and let a call through or refuse it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from grpc_health.v1 import health_pb2, health_pb2_grpc
from marketplace.v1 import user_pb2, user_pb2_grpc
from sqlalchemy import text

from marketplace_service import SERVICE
from tablestakes import Arrival, Caller, FieldViolation, Gate, Method, Settings, StatusError
from tablestakes.app import App, start
from tests.serving import eventually, settings_for
from tests.status import Refusal, refusal

LIST = user_pb2.ListUsersRequest()


def refuse(reason: str = "NOT_YOU", code: grpc.StatusCode = grpc.StatusCode.PERMISSION_DENIED) -> Gate:
    """Return a gate that refuses every call."""

    def gate(_arrival: Arrival, _method: Method) -> None:
        raise StatusError(code, reason, "You may not.")

    return gate


@asynccontextmanager
async def behind(tmp_path: Path, *gates: Gate) -> AsyncIterator[tuple[App, grpc.aio.Channel]]:
    """Run the marketplace behind gates, and connect to it."""
    async with made_of(tmp_path, lambda _: gates) as running:
        yield running


@asynccontextmanager
async def made_of(
    tmp_path: Path, gates: Callable[[Settings], Sequence[Gate]], **given: object
) -> AsyncIterator[tuple[App, grpc.aio.Channel]]:
    """Run the marketplace behind the gates that a function makes of its settings, and connect to it."""
    settings = settings_for(f"sqlite+aiosqlite:///{tmp_path}/gates.db", **given)
    app = await start(replace(SERVICE, gates=gates), settings)
    try:
        async with grpc.aio.insecure_channel(app.address) as channel:
            yield app, channel
    finally:
        await app.drain()


async def refused(call: Any) -> Refusal:
    """Return the status of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)


def handled(app: App, method: str, code: str) -> float:
    """Return how many calls of a method of UserService ended with a code."""
    labels = {
        "grpc_type": "unary",
        "grpc_service": "marketplace.v1.UserService",
        "grpc_method": method,
        "grpc_code": code,
    }
    return app.registry.get_sample_value("grpc_server_handled_total", labels) or 0.0


async def test_a_refusal_is_answered_as_it_was_raised(tmp_path: Path) -> None:
    """The code, the reason, the metadata, the fields and the delay of a gate's StatusError reach the caller."""

    def gate(_arrival: Arrival, method: Method) -> None:
        raise StatusError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "TOO_MANY_CALLS",
            f"There were too many calls of {method.name}.",
            metadata={"method": method.name},
            violations=(FieldViolation("page_size", "is large.", "LARGE_PAGE"),),
            retry_delay=2.5,
        )

    async with behind(tmp_path, gate) as (app, channel):
        status = await refused(user_pb2_grpc.UserServiceStub(channel).ListUsers(LIST))
        await eventually(lambda: handled(app, "ListUsers", "ResourceExhausted") == 1)
    assert status.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert status.message == "There were too many calls of ListUsers."
    assert (status.info.reason, status.info.domain) == ("TOO_MANY_CALLS", "marketplace.example.com")
    assert status.info.metadata == {"method": "ListUsers"}
    assert status.fields == {"page_size": "is large."}
    assert status.reasons == {"page_size": "LARGE_PAGE"}
    assert status.retry_delay == 2.5


async def test_a_gate_is_asked_before_the_request_is_decoded(tmp_path: Path) -> None:
    """A caller who is refused learns nothing of the request: not that it is malformed, nor that it is invalid."""
    async with behind(tmp_path, refuse()) as (_, channel):
        get: Any = channel.unary_unary("/marketplace.v1.UserService/GetUser")
        for data in (b"\xff\xff\xff", b"", user_pb2.GetUserRequest(name="users/x y").SerializeToString()):
            assert (await refused(get(data))).info.reason == "NOT_YOU"


async def test_gates_are_asked_in_their_order(tmp_path: Path) -> None:
    """The first gate that refuses ends the call, and those behind it are not asked."""
    asked: list[str] = []

    def noting(name: str) -> Gate:
        def gate(_arrival: Arrival, _method: Method) -> None:
            asked.append(name)

        return gate

    gates = (noting("first"), noting("second"), refuse("SECOND_TO_LAST"), noting("last"), refuse("LAST"))
    async with behind(tmp_path, *gates) as (_, channel):
        status = await refused(user_pb2_grpc.UserServiceStub(channel).ListUsers(LIST))
    assert status.info.reason == "SECOND_TO_LAST"
    assert asked == ["first", "second"]


async def test_a_gate_that_waits_is_waited_for(tmp_path: Path) -> None:
    """An asynchronous gate lets a call through, or refuses it, once it knows."""

    async def gate(arrival: Arrival, _method: Method) -> None:
        await asyncio.sleep(0.01)
        if "x-let-me-in" not in arrival.metadata:
            raise StatusError(grpc.StatusCode.UNAUTHENTICATED, "NO_TOKEN", "Who are you?")

    async with behind(tmp_path, gate) as (_, channel):
        users = user_pb2_grpc.UserServiceStub(channel)
        status = await refused(users.ListUsers(LIST))
        assert (status.code, status.info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "NO_TOKEN")
        assert await users.ListUsers(LIST, metadata=(("x-let-me-in", "please"),)) == user_pb2.ListUsersResponse()


async def test_a_gate_sets_who_calls(tmp_path: Path) -> None:
    """The caller that a gate finds is written into the audit columns, and stays with its own call."""

    def gate(arrival: Arrival, _method: Method) -> None:
        if (name := arrival.metadata.get("x-subject")) is not None:
            arrival.caller = Caller(str(name))

    async with behind(tmp_path, gate) as (app, channel):
        users = user_pb2_grpc.UserServiceStub(channel)

        async def audit() -> tuple[Any, ...]:
            statement = text("SELECT created_by, updated_by FROM users WHERE username = 'audited'")
            return tuple(await app.database.run(lambda connection: connection.execute(statement).one()))

        user = user_pb2.User(email="audited@example.com", username="audited")
        made = await users.CreateUser(user_pb2.CreateUserRequest(user=user), metadata=(("x-subject", "ann"),))
        assert await audit() == ("ann", "ann")
        # Without its etag: it is sent twice.
        made.ClearField("etag")
        update = user_pb2.UpdateUserRequest(user=made, update_mask=FieldMask(paths=["full_name"]))
        await users.UpdateUser(update, metadata=(("x-subject", "bob"),))
        assert await audit() == ("ann", "bob")
        await users.UpdateUser(update)
        assert await audit() == ("ann", None), "nobody was authenticated, which is not the one before"


async def test_a_gate_sees_the_call(tmp_path: Path) -> None:
    """A gate sees the method, the metadata, the address of the caller and the time that is left."""
    seen: list[tuple[str, str | bytes | None, str, float | None]] = []

    def gate(arrival: Arrival, method: Method) -> None:
        seen.append((method.path, arrival.metadata.get("x-key"), arrival.peer, arrival.seconds_left))

    async with behind(tmp_path, gate) as (_, channel):
        users = user_pb2_grpc.UserServiceStub(channel)
        await users.ListUsers(LIST, metadata=(("x-key", "first"), ("x-key", "last")), timeout=60)
        await users.ListUsers(LIST)
    (path, value, peer, left), (_, _, _, unbounded) = seen
    assert (path, value) == ("/marketplace.v1.UserService/ListUsers", "last")
    assert peer.startswith("ipv4:127.0.0.1:")
    assert left is not None
    assert 0 < left <= 60
    assert unbounded is None


async def test_gates_are_made_of_the_settings(tmp_path: Path) -> None:
    """A service's function makes its gates of the settings that it was started with."""

    def gates(settings: Settings) -> Sequence[Gate]:
        return (refuse(f"POOL_OF_{settings.pool_size}"),)

    async with made_of(tmp_path, gates, pool_size=3) as (_, channel):
        status = await refused(user_pb2_grpc.UserServiceStub(channel).ListUsers(LIST))
    assert status.info.reason == "POOL_OF_3"


async def test_a_gate_that_fails_lets_nobody_through(tmp_path: Path) -> None:
    """An unexpected exception of a gate is INTERNAL with an error id, and the call is not served."""

    def gate(_arrival: Arrival, _method: Method) -> None:
        raise KeyError("a secret of the gate")

    async with behind(tmp_path, gate) as (app, channel):
        user = user_pb2.User(email="through@example.com", username="through")
        call = user_pb2_grpc.UserServiceStub(channel).CreateUser(user_pb2.CreateUserRequest(user=user))
        status = await refused(call)
        statement = text("SELECT count(*) FROM users")
        assert await app.database.run(lambda connection: connection.scalar(statement)) == 0
    assert status.code is grpc.StatusCode.INTERNAL
    assert "secret" not in str(status)
    assert status.info.metadata["errorId"] in status.message


async def test_a_health_check_passes_no_gate(tmp_path: Path) -> None:
    """Probes have no credentials: grpc.health.v1 answers whatever the gates of the service's own methods say."""
    async with behind(tmp_path, refuse()) as (_, channel):
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
