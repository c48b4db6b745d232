"""grpc.health.v1 and reflection, as probes and tools use them."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.gadgets import gadget_pb2, gadget_pb2_grpc
from tests.process import HANGS
from tests.serving import eventually, serving, settings_for

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_the_server_and_its_services_are_serving(channel: grpc.aio.Channel) -> None:
    """Health answers SERVING for the server and for each service, and NOT_FOUND for what is none."""
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "marketplace.v1.UserService"):
        assert (await health.Check(health_pb2.HealthCheckRequest(service=service))).status == SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(health_pb2.HealthCheckRequest(service="no.Such"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_drain_is_announced_and_lets_calls_end(tmp_path: Path) -> None:
    """While it drains the server says NOT_SERVING first, ends its Watch streams, and lets a running call end."""
    settings = settings_for(f"sqlite+aiosqlite:///{tmp_path}/drain.db", drain_delay=3, drain_grace=2 * HANGS)
    async with serving(settings) as app, grpc.aio.insecure_channel(app.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        gadgets = gadget_pb2_grpc.GadgetServiceStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        running = asyncio.ensure_future(gadgets.PokeGadget(gadget_pb2.PokeGadgetRequest(how="sleep", seconds=4)))
        await eventually(lambda: app.tasks.in_progress, HANGS)
        started = asyncio.get_running_loop().time()
        draining = asyncio.ensure_future(app.drain())
        assert (await watch.read()).status == NOT_SERVING
        # Announced, and not yet refused: balancers have this long to notice.
        assert await gadgets.PokeGadget(gadget_pb2.PokeGadgetRequest(how="nothing"))
        assert await watch.read() is grpc.aio.EOF
        assert await running
        await draining
        assert asyncio.get_running_loop().time() - started < HANGS, "an open Watch must not use up the grace"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gadgets.PokeGadget(gadget_pb2.PokeGadgetRequest(how="nothing"), timeout=2)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def services_by_reflection(channel: grpc.aio.Channel) -> set[str]:
    """Return the services that reflection lists."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    async for response in call:
        return {service.name for service in response.list_services_response.service}
    return set()


async def test_reflection_lists_every_service(channel: grpc.aio.Channel) -> None:
    """Tools find the services without their protos."""
    assert {
        "marketplace.v1.UserService",
        "gadget.v1.GadgetService",
        "grpc.health.v1.Health",
    } <= await services_by_reflection(channel)


async def test_reflection_can_be_off(tmp_path: Path) -> None:
    """With reflection=false there is none."""
    settings = settings_for(f"sqlite+aiosqlite:///{tmp_path}/closed.db", reflection=False)
    async with serving(settings) as app, grpc.aio.insecure_channel(app.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await services_by_reflection(channel)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_an_idle_reflection_stream_does_not_hold_up_a_drain(tmp_path: Path) -> None:
    """A tool that keeps its reflection stream open sees it end with the server, long before the grace is over."""
    settings = settings_for(f"sqlite+aiosqlite:///{tmp_path}/reflect.db", drain_grace=2 * HANGS)
    async with serving(settings) as app, grpc.aio.insecure_channel(app.address) as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        assert (await call.read()).list_services_response.service
        started = asyncio.get_running_loop().time()
        await app.drain()
        assert asyncio.get_running_loop().time() - started < HANGS, "an idle stream must not use up the grace"
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
