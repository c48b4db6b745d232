"""A server in a process of its own, and the CPU that it spends."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketplace.v1 import user_pb2

IN_FLIGHT = 64
_TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")
_SERVE = ("serve", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", "--log-format=json", "--pool-timeout=10")

# The yardstick: everything between a socket and a handler, and nothing behind it.
_ECHO = """
import asyncio, grpc, sys, uvloop
async def echo(request, context):
    return request
async def main():
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(echo)
    handlers = {"Echo": handler} | {f"Echo{number}": handler for number in range(int(sys.argv[1]))}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", handlers),))
    if sys.argv[2] == "registered":
        server.add_registered_method_handlers("bench.Echo", handlers)
    print("127.0.0.1:%d" % server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()
uvloop.run(main())
"""

# The service without observation: no listener of the engine, and RPCs that are neither counted nor timed.
_UNOBSERVED = """
import sys
import tablestakes.app, tablestakes.edge.rpc
class Nothing:
    received = sent = 0
    def __init__(self, *_): pass
    def begin(self, *_): return self
    def count_sent(self, *_): pass
    def end(self, *_): pass
tablestakes.app.instrument = lambda *arguments, **options: None
tablestakes.edge.rpc.Observer = Nothing
from marketplace_service import SERVICE
sys.argv[0] = "tablestakes"
SERVICE.main()
"""


@dataclass(frozen=True)
class Process:
    """A running server.

    Attributes:
        pid: Its process.
        address: Where it serves gRPC.
        metrics: Where it serves its metrics, "" if it serves none.
    """

    pid: int
    address: str
    metrics: str = ""

    async def cpu_us(self, call: Callable[[], Awaitable[object]], calls: int) -> float:
        """Return the user and system time that one call costs the server, in microseconds.

        Args:
            call: Makes one call.
            calls: How many to make, `IN_FLIGHT` at a time.
        """
        each = max(1, calls // IN_FLIGHT)
        before = self.spent_us()
        await asyncio.gather(*(_repeat(call, each) for _ in range(IN_FLIGHT)))
        return (self.spent_us() - before) / (each * IN_FLIGHT)

    def spent_us(self) -> float:
        """Return the user and system time that the server has spent, in microseconds."""
        user, system = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) * _TICK_US


async def _repeat(call: Callable[[], Awaitable[object]], times: int) -> None:
    for _ in range(times):
        await call()


@asynccontextmanager
async def echo(*, more: int = 0, registered: bool = False) -> AsyncIterator[Process]:
    """Run a bare grpc.aio server that answers `/bench.Echo/Echo` with its request.

    Args:
        more: How many methods it has beside that one.
        registered: Whether they are registered with gRPC's core, as generated code does.
    """
    arguments = ("-c", _ECHO, str(more), "registered" if registered else "generic")
    async with _running(*arguments, stdout=asyncio.subprocess.PIPE) as started:
        assert started.stdout is not None
        yield Process(started.pid, (await started.stdout.readline()).decode().strip())


@asynccontextmanager
async def peer(name: str, url: str) -> AsyncIterator[Process]:
    """Run a UserService that is written by hand.

    Args:
        name: Its module in `benchmarks.peers`.
        url: The URL of a migrated database.
    """
    async with _running("-m", f"benchmarks.peers.{name}", url, stdout=asyncio.subprocess.PIPE) as started:
        assert started.stdout is not None
        yield Process(started.pid, (await started.stdout.readline()).decode().strip())


@asynccontextmanager
async def service(
    url: str,
    *,
    observed: bool = True,
    python: Path | None = None,
    folder: Path | None = None,
    program: Sequence[str] = ("-m", "server"),
    more: Sequence[str] = (),
) -> AsyncIterator[Process]:
    """Run the service on a migrated database.

    Args:
        url: Its DATABASE_URL.
        observed: Whether anything is counted and timed.
        python: The Python of another checkout; None for this one's.
        folder: The other checkout.
        program: What Python is to run in place of the service.
        more: Further flags.
    """
    async with _running(
        *(program if observed else ("-c", _UNOBSERVED)),
        *_SERVE,
        *more,
        executable=str(python or sys.executable),
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"DATABASE_URL": url},
        cwd=folder,
    ) as started:
        assert started.stderr is not None
        lines, found = [], None
        # Risks of the database have lines before that one.
        while found is None and (line := (await started.stderr.readline()).decode()):
            lines.append(line)
            found = re.search(r'"grpc": "([^"]+)", "metrics": "([^"]+)"', line)
        if found is None:
            raise RuntimeError(f"the service did not start: {''.join(lines)}")
        # Its log is read on, or it would wait for ever to write the next line.
        reading = asyncio.ensure_future(_discard(started.stderr))
        try:
            yield Process(started.pid, found[1], found[2])
        finally:
            reading.cancel()


async def _discard(lines: asyncio.StreamReader) -> None:
    while await lines.readline():
        pass


@asynccontextmanager
async def _running(
    *arguments: str, executable: str = sys.executable, **options: Any
) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(executable, *arguments, **options)
    try:
        yield started
    finally:
        started.terminate()
        await started.wait()


async def create_user(users: Any, name: str) -> user_pb2.User:
    """Create a user to get, through a stub of the UserService, and return it."""
    user = user_pb2.User(email=f"{name}@example.com", username=name, full_name="A Benchmark")
    made: user_pb2.User = await users.CreateUser(user_pb2.CreateUserRequest(user=user))
    return made
