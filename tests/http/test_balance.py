"""The same Envoy before several processes: calls are balanced, repeated where that is safe, and limited."""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from marketplace.v1 import user_pb2, user_pb2_grpc

from k8s.envoy import local
from marketplace_service import SERVICE
from tablestakes.testing.serving import serving, settings_for
from tests.http.door import Door
from tests.process import server

USERS = "/v1/users"


@contextlib.asynccontextmanager
async def before(folder: Path, *upstreams: str, **limits: Any) -> AsyncIterator[Door]:
    """Run Envoy before some addresses, with the deployed limits or with a bucket of some other size."""
    config = local.configuration(listen="127.0.0.1:0", upstreams=upstreams)
    if limits:
        local.http_filter(config, "local_ratelimit")["descriptors"][0]["token_bucket"] = limits
    async with local.running(config, log=folder / "envoy.log") as running:
        yield Door(running.address, running.admin)


class Refusing(grpc.GenericRpcHandler):
    """A process that says that it is healthy, and answers every call with UNAVAILABLE.

    Attributes:
        calls: How often each method was called, by its last name.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """Refuse what a caller asks."""
        self.calls[details.method.rpartition("/")[2]] += 1

        async def refuse(_: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no")

        return grpc.unary_unary_rpc_method_handler(refuse)


@contextlib.asynccontextmanager
async def refusing() -> AsyncIterator[tuple[str, Refusing]]:
    """Run a process that refuses every call, and yield where it listens."""
    running, handler, healthy = grpc.aio.server(), Refusing(), health.aio.HealthServicer()
    await healthy.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, running)
    running.add_generic_rpc_handlers((handler,))
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    try:
        yield f"127.0.0.1:{port}", handler
    finally:
        await running.stop(None)


async def served(metrics: str) -> int:
    """Return how many Lists a process has answered, by the metrics at its address."""
    _, text = await local.get(metrics, "/metrics")
    counts = re.findall(r'^grpc_server_handled_total{.*grpc_method="ListUsers".*} (\S+)$', text, re.MULTILINE)
    return int(sum(map(float, counts)))


async def test_calls_survive_the_death_of_a_process(postgres_url: str, tmp_path: Path) -> None:
    """Two processes share the calls, and when one of them is killed meanwhile, no call that reads fails."""
    async with contextlib.AsyncExitStack() as stack:
        # This process is one of the two.
        app = await stack.enter_async_context(serving(SERVICE, settings_for(SERVICE, postgres_url)))
        other = await stack.enter_async_context(server(postgres_url))
        door = await stack.enter_async_context(before(tmp_path, app.address, other.address))
        assert (await door.send("POST", USERS, {"email": "a@example.com", "username": "ann"})).status == 200

        async def call(times: int) -> Counter[int]:
            return Counter([(await door.send("GET", USERS)).status for _ in range(times)])

        assert sum(await asyncio.gather(*(call(10) for _ in range(4))), Counter()) == {200: 40}
        shares = [await served(app.metrics_address), await served(_address(other.metrics))]
        assert min(shares) > 0
        assert sum(shares) == 40
        calling = asyncio.gather(*(call(50) for _ in range(4)))
        await _eventually_served(_address(other.metrics), shares[1] + 5)
        other.process.kill()
        assert sum(await calling, Counter()) == {200: 200}
        assert (await door.send("GET", "/healthz")).status == 200


def _address(url: str) -> str:
    return url.removeprefix("http://").removesuffix("/metrics")


async def _eventually_served(metrics: str, calls: int) -> None:
    """Wait until a process has answered so many Lists."""
    async with asyncio.timeout(30):
        while await served(metrics) < calls:  # noqa: ASYNC110 - it is another process that counts
            await asyncio.sleep(0.01)


async def test_a_process_that_refuses_is_left_out(door: Door, tmp_path: Path) -> None:
    """Calls that a process refuses are answered by another one, and after a few it is ejected."""
    async with refusing() as (address, handler), before(tmp_path, door.upstream, address) as both:
        async with asyncio.timeout(30):
            while not await both.counted("cluster.tablestakes.outlier_detection.ejections_enforced_total"):
                assert (await both.send("GET", USERS)).status == 200
        assert handler.calls["ListUsers"] >= 5
        refused = handler.calls["ListUsers"]
        assert {(await both.send("GET", USERS)).status for _ in range(10)} == {200}
        assert handler.calls["ListUsers"] == refused


async def test_only_reads_are_sent_again(tmp_path: Path) -> None:
    """UNAVAILABLE may come after a write: it is sent once, and a read four times; the caller is told in JSON."""
    async with refusing() as (address, handler), before(tmp_path, address) as only:
        written = await only.send("POST", USERS, {"email": "a@example.com", "username": "ann"})
        read = await only.send("GET", USERS)
    assert (written.status, written.json) == (503, {"code": 14, "message": "no"})
    assert (read.status, read.json["code"]) == (503, 14)
    assert handler.calls == {"CreateUser": 1, "ListUsers": 4}


async def test_too_many_requests_of_one_client_are_refused(door: Door, tmp_path: Path) -> None:
    """Past its bucket a client is told to wait, in JSON by a RetryInfo and by gRPC as RESOURCE_EXHAUSTED."""
    bucket = {"max_tokens": 5, "tokens_per_fill": 1, "fill_interval": "3600s"}
    async with before(tmp_path, door.upstream, **bucket) as limited:
        assert [(await limited.send("GET", USERS)).status for _ in range(6)] == [200] * 5 + [429]
        answer = await limited.send("GET", USERS)
        assert answer.headers["retry-after"] == "1"
        assert answer.json["code"] == 8
        assert [each.get("reason") or each["retryDelay"] for each in answer.json["details"]] == [
            "RATE_LIMITED",
            "1s",
        ]
        async with grpc.aio.insecure_channel(limited.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await user_pb2_grpc.UserServiceStub(channel).ListUsers(user_pb2.ListUsersRequest())
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_no_process_is_unavailable(tmp_path: Path, unused_tcp_port: int) -> None:
    """Without a process to send calls to, they are answered 503 with a status, and the door is not ready."""
    async with before(tmp_path, f"127.0.0.1:{unused_tcp_port}") as closed:
        answer = await closed.send("GET", USERS)
        assert answer.status == 503
        assert answer.json["code"] == 14
        assert (await closed.send("GET", "/healthz")).status == 503


async def test_grpc_passes_the_door(door: Door) -> None:
    """A gRPC client calls methods, health and reflection through the same port."""
    async with grpc.aio.insecure_channel(door.address) as channel:
        users = await user_pb2_grpc.UserServiceStub(channel).ListUsers(user_pb2.ListUsersRequest(page_size=1))
        assert users is not None
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
