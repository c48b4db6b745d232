"""The end of a server while callers go on calling it."""

import asyncio
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from marketplace.v1 import user_pb2, user_pb2_grpc

from tablestakes.edge.hang_up import FILES, hang_up
from tests.gadgets import gadget_pb2, gadget_pb2_grpc
from tests.process import HANGS, server
from tests.serving import eventually, serving, settings_for
from tests.status import refusal

CHANNELS, CALLERS, ROUNDS = 8, 12, 2


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

    async with server(url) as running:
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


async def test_a_draining_server_ends_what_it_began_and_begins_nothing_else(tmp_path: Path) -> None:
    """While a call in progress ends, a new one is UNAVAILABLE, and told when to come again."""
    settings = settings_for(f"sqlite+aiosqlite:///{tmp_path}/end.db", drain_grace=2 * HANGS)
    async with serving(settings) as app, grpc.aio.insecure_channel(app.address) as channel:
        gadgets = gadget_pb2_grpc.GadgetServiceStub(channel)
        running = asyncio.ensure_future(gadgets.PokeGadget(gadget_pb2.PokeGadgetRequest(how="sleep", seconds=2)))
        await eventually(lambda: app.tasks.in_progress, HANGS)
        watch: Any = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        draining = asyncio.ensure_future(app.drain())
        # It ends when the door is shut.
        async for _ in watch:
            pass
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gadgets.PokeGadget(gadget_pb2.PokeGadgetRequest(how="nothing"), timeout=HANGS)
        status = refusal(caught.value)
        assert (status.code, status.info.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert status.retry_delay is not None
        assert not running.done()
        await running
        await draining


async def test_hanging_up_ends_the_connections_of_one_port() -> None:
    """The accepted connections of a port end; its listener, and the connections of another port, stay."""
    with socket.create_server(("127.0.0.1", 0)) as ending, socket.create_server(("127.0.0.1", 0)) as staying:
        with connected(ending) as (caller, accepted), connected(staying) as (other, kept):
            accepted.sendall(b"answer")
            assert hang_up(ending.getsockname()[1]) == 1
            assert (caller.recv(16), caller.recv(16)) == (b"answer", b"")
            kept.sendall(b"answer")
            assert other.recv(16) == b"answer"
        with connected(ending) as (caller, accepted):
            accepted.sendall(b"again")
            assert caller.recv(16) == b"again"


def test_hanging_up_leaves_no_file_open(tmp_path: Path) -> None:
    """A process has as many open files after it as before, whatever they are."""
    (tmp_path / "file").touch()
    with (tmp_path / "file").open(), socket.create_server(("127.0.0.1", 0)) as ending, connected(ending):
        before = len(list(FILES.iterdir()))
        assert hang_up(ending.getsockname()[1]) == 1
        assert len(list(FILES.iterdir())) == before


@contextmanager
def connected(listener: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Connect to a listener, and yield both ends."""
    with socket.create_connection(listener.getsockname(), timeout=HANGS) as caller:
        accepted, _ = listener.accept()
        with accepted:
            yield caller, accepted
