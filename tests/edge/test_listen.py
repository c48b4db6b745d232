"""The gRPC server: how its handlers are found."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from marketplace.v1 import user_pb2, user_pb2_grpc

from marketplace_service import SERVICE
from tablestakes.app import start
from tablestakes.edge.door import Door
from tablestakes.edge.health import Health
from tests.edge.test_health import services_by_reflection
from tests.serving import settings_for


async def test_no_method_is_registered_with_grpcs_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every method is found by its path, those of Health and of reflection too, and none is registered with core.

    The docstring of `Handlers` in edge/listen.py says why: the server would wait for all of them at each call.
    """
    registered: list[str] = []
    new_server = grpc.aio.server

    def recording(*arguments: Any, **options: Any) -> grpc.aio.Server:
        server = new_server(*arguments, **options)
        monkeypatch.setattr(server, "add_registered_method_handlers", lambda service, _: registered.append(service))
        return server

    monkeypatch.setattr(grpc.aio, "server", recording)
    app = await start(SERVICE, settings_for(f"sqlite+aiosqlite:///{tmp_path}/core.db"))
    try:
        async with grpc.aio.insecure_channel(app.address) as channel:
            users = user_pb2_grpc.UserServiceStub(channel)
            assert await users.ListUsers(user_pb2.ListUsersRequest()) == user_pb2.ListUsersResponse()
            health = health_pb2_grpc.HealthStub(channel)
            assert (await health.Check(health_pb2.HealthCheckRequest())).status
            assert "grpc.reflection.v1alpha.ServerReflection" in await services_by_reflection(channel)
    finally:
        await app.drain()
    assert registered == []


async def test_the_recorder_sees_a_method_that_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generated code registers methods where it is given a server of grpc's own: the test above can fail."""
    registered: list[str] = []
    server = grpc.aio.server()
    monkeypatch.setattr(server, "add_registered_method_handlers", lambda service, _: registered.append(service))
    health_pb2_grpc.add_HealthServicer_to_server(Health((), Door()), server)
    assert registered == ["grpc.health.v1.Health"]


@pytest.mark.parametrize("path", ["/marketplace.v1.UserService/Nothing", "/no.Such/Method", "/", "/x"])
async def test_a_path_of_no_method_is_unimplemented(channel: grpc.aio.Channel, path: str) -> None:
    """A call of a method that there is not is UNIMPLEMENTED."""
    call: Any = channel.unary_unary(path)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
