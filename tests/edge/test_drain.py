"""The end of a server while callers go on calling it."""

import asyncio
import signal
from collections import Counter
from pathlib import Path

import grpc
from marketplace.v1 import user_pb2, user_pb2_grpc

from tests.process import HANGS, server
from tests.serving import eventually

CHANNELS, CALLERS, ROUNDS = 8, 12, 3


async def test_what_a_draining_server_turns_away_is_unavailable(tmp_path: Path) -> None:
    """Callers who look at no health and never pause get UNAVAILABLE, which they may repeat, and never CANCELLED."""
    codes: Counter[grpc.StatusCode] = Counter()
    for number in range(ROUNDS):
        codes += await codes_around_the_end(f"sqlite+aiosqlite:///{tmp_path}/{number}.db")
    assert codes.pop(grpc.StatusCode.OK) > ROUNDS * CHANNELS * CALLERS
    assert set(codes) == {grpc.StatusCode.UNAVAILABLE}, codes


async def codes_around_the_end(url: str) -> Counter[grpc.StatusCode]:
    """Return the codes of the calls before and during a drain; each caller's first failure is its last call."""
    codes: Counter[grpc.StatusCode] = Counter()

    async def call(users: "user_pb2_grpc.UserServiceAsyncStub") -> None:
        request = user_pb2.ListUsersRequest()
        while True:
            try:
                await users.ListUsers(request, timeout=HANGS)
            except grpc.aio.AioRpcError as error:
                codes[error.code()] += 1
                return
            codes[grpc.StatusCode.OK] += 1

    async with server(url, "--drain-delay=0") as running:
        # Without a pool of their own, channels to one address share a connection.
        options = (("grpc.use_local_subchannel_pool", 1),)
        channels = [grpc.aio.insecure_channel(running.address, options=options) for _ in range(CHANNELS)]
        stubs = [user_pb2_grpc.UserServiceStub(channel) for channel in channels]
        calling = [asyncio.ensure_future(call(stub)) for stub in stubs for _ in range(CALLERS)]
        try:
            await eventually(lambda: codes[grpc.StatusCode.OK] > CHANNELS * CALLERS, HANGS)
            running.process.send_signal(signal.SIGTERM)
            await asyncio.gather(*calling)
            assert await running.stopped() == 0
        finally:
            for channel in channels:
                await channel.close()
    return codes
