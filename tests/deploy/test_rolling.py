"""A rollout under load: two pods of the production overlay are replaced by turns, and no call fails."""

import asyncio
import itertools
import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from marketplace.v1 import user_pb2, user_pb2_grpc

from tablestakes.app import CLOSE_SECONDS
from tablestakes.settings import Settings
from tests.deploy.kubelet import Running, run
from tests.deploy.manifest import Pod, needs_kubectl, resources
from tests.deploy.name_server import NameServer, name_server
from tests.process import HANGS, migrated
from tests.serving import eventually

# How many pods are replaced; `make test-rolling` replaces twenty.
REPLACED = int(os.environ.get("REPLACED", "1"))
CALLERS = 16

# As docs/deploy.md tells clients to do: every ready pod, and health besides the connection.
CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": "marketplace.v1.UserService"},
}
OPTIONS = (
    ("grpc.service_config", json.dumps(CONFIG)),
    # A rollout waits minReadySeconds between two pods, so that clients, who ask for names every 30 seconds at most,
    # know the new one. Here nobody waits, and clients ask at once.
    ("grpc.dns_min_time_between_resolutions_ms", 50),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_http_proxy", 0),
)


@needs_kubectl
async def test_no_call_fails_while_pods_are_replaced(postgres_url: str) -> None:
    """Pods are ended as a kubelet does it, once another is ready: every call is answered, and they exit with 0."""
    secrets = {
        "tablestakes-database": {"url": await migrated(postgres_url)},
        "tablestakes-page-tokens": {"key": "a key of the pods"},
    }
    pod = Pod.of(resources("overlays/production"), secrets)
    addresses = (f"127.{os.getpid() % 250 + 1}.{n // 200}.{n % 200 + 1}" for n in itertools.count())
    codes: Counter[Any] = Counter()
    async with name_server() as (names, port):
        pods = list(await asyncio.gather(*(run(pod, next(addresses), names) for _ in range(2))))
        try:
            async with calls(f"dns://127.0.0.1:{port}/tablestakes:{pod.startup['grpc']['port']}", codes):
                for _ in range(REPLACED):
                    await replace(pods, pod, next(addresses), names, codes)
        finally:
            for each in pods:
                each.kill()
                await each.process.wait()
    print(f"{codes[grpc.StatusCode.OK]} calls answered, {REPLACED} pods replaced")  # noqa: T201 - for a person
    assert set(codes) == {grpc.StatusCode.OK}, codes


async def replace(pods: list[Running], pod: Pod, address: str, names: NameServer, codes: Counter[Any]) -> None:
    """Start a pod, and end the oldest once the new one is ready and is called."""
    pods.append(await run(pod, address, names))
    assert await pods[0].end(names) == 0, pods[0].lines
    assert [json.loads(line)["event"] for line in pods.pop(0).lines][-2:] == ["draining", "stopped"]
    so_far = codes[grpc.StatusCode.OK]
    await eventually(lambda: codes[grpc.StatusCode.OK] > so_far + CALLERS, HANGS)


@asynccontextmanager
async def calls(target: str, codes: Counter[Any]) -> AsyncIterator[None]:
    """Call a service without a pause while the block runs, and count the calls by their codes."""
    ending = asyncio.Event()

    async def call(users: "user_pb2_grpc.UserServiceAsyncStub", name: str) -> None:
        for number in itertools.count():
            if ending.is_set():
                return
            user = user_pb2.User(email=f"{name}{number}@example.com", username=f"{name}{number}")
            try:
                if number % 4:
                    await users.ListUsers(user_pb2.ListUsersRequest(page_size=1), timeout=HANGS)
                else:
                    await users.CreateUser(user_pb2.CreateUserRequest(user=user), timeout=HANGS)
                codes[grpc.StatusCode.OK] += 1
            except grpc.aio.AioRpcError as error:
                codes[error.code(), error.details()] += 1
            # A hundred calls a second of each caller at most.
            await asyncio.sleep(0.01)

    async with grpc.aio.insecure_channel(target, options=OPTIONS) as channel:
        async with asyncio.timeout(HANGS):
            await channel.channel_ready()
        users = user_pb2_grpc.UserServiceStub(channel)
        calling = [asyncio.ensure_future(call(users, f"caller_{number}_")) for number in range(CALLERS)]
        try:
            yield
        finally:
            ending.set()
            await asyncio.gather(*calling)


@needs_kubectl
def test_the_grace_covers_the_whole_end() -> None:
    """The grace period of the pod is longer than preStop and all that a drain may take by default."""
    secrets = {"tablestakes-database": {"url": ""}, "tablestakes-page-tokens": {"key": ""}}
    pod = Pod.of(resources("overlays/production"), secrets)
    fields = Settings.model_fields
    drain = fields["drain_delay"].default + fields["drain_grace"].default + 2 * CLOSE_SECONDS
    assert pod.pre_stop + drain < pod.grace
