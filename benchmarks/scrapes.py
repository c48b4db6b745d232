"""How much slower a call is while many scrape the metrics, and while many connections to that port are slow.

    python -m benchmarks.scrapes

In each round the same callers call GetUser undisturbed, then beside 16 scrapers that never rest, and then beside 60
connections that send a byte of a request now and then. The figures are the medians of the rounds' medians and of
their ratios; scrapers and callers share the machine's cores with the service, so some of the ratio is theirs.
"""

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
from marketplace.v1 import user_pb2, user_pb2_grpc

from benchmarks.database import migrated
from benchmarks.process import Process, create_user, service

ROUNDS = 7
SECONDS = 3.0
CALLERS = 4
SCRAPERS = 16
SLOW = 60

# In a process of its own, so that the callers' event loop does not wait for the scrapers.
_SCRAPE = """
import asyncio, sys
host, port, scrapers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
request = (
    b"GET /metrics HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nConnection: close\\r\\nAccept-Encoding: gzip\\r\\n"
    b"Accept: application/openmetrics-text;version=1.0.0\\r\\n\\r\\n"
)
async def scrape():
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(request)
            await reader.read()
            writer.close()
        except OSError:
            await asyncio.sleep(0.01)
async def main():
    await asyncio.gather(*(scrape() for _ in range(scrapers)))
asyncio.run(main())
"""


async def main() -> None:
    """Measure, and print the medians and their ratios."""
    quiet: list[float] = []
    scraped: list[float] = []
    slowed: list[float] = []
    threads = 0
    async with (
        migrated() as url,
        service(url) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        users: Any = user_pb2_grpc.UserServiceStub(channel)
        get = user_pb2.GetUserRequest(name=(await create_user(users, "bench")).name)
        for round_ in range(ROUNDS + 1):
            undisturbed = await _median_ms(users, get)
            async with _scrapers(server):
                beside_scrapers = await _median_ms(users, get)
            async with _slow_connections(server):
                beside_slow = await _median_ms(users, get)
                threads = max(threads, _threads(server.pid))
            if round_:  # the first one warms up
                quiet.append(undisturbed)
                scraped.append(beside_scrapers)
                slowed.append(beside_slow)
        print(f"GetUser, {CALLERS} callers    {statistics.median(quiet):6.2f} ms (median)")
        for label, figures in ((f"{SCRAPERS} scrapers", scraped), (f"{SLOW} slow connections", slowed)):
            ratio = statistics.median(a / b for a, b in zip(figures, quiet, strict=True))
            print(f"  {label:20} {statistics.median(figures):6.2f} ms, {ratio:.2f} times as long")
        print(f"  the service has at most {threads} threads beside {SLOW} slow connections")


async def _median_ms(users: Any, get: user_pb2.GetUserRequest) -> float:
    times: list[float] = []
    until = time.perf_counter() + SECONDS

    async def call() -> None:
        while (before := time.perf_counter()) < until:
            await users.GetUser(get)
            times.append(time.perf_counter() - before)

    await asyncio.gather(*(call() for _ in range(CALLERS)))
    return statistics.median(times) * 1e3


def _threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def _address(server: Process) -> tuple[str, int]:
    parts = urlsplit(server.metrics)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


@contextlib.asynccontextmanager
async def _scrapers(server: Process) -> AsyncIterator[None]:
    host, port = _address(server)
    started = await asyncio.create_subprocess_exec(sys.executable, "-c", _SCRAPE, host, str(port), str(SCRAPERS))
    try:
        yield
    finally:
        started.kill()
        await started.wait()


@contextlib.asynccontextmanager
async def _slow_connections(server: Process) -> AsyncIterator[None]:
    host, port = _address(server)

    async def trickle() -> None:
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(host, port)
                with contextlib.closing(writer):
                    for byte in b"GET /metrics HTTP/1.1":
                        writer.write(bytes((byte,)))
                        await writer.drain()
                        await asyncio.sleep(1)

    trickling = [asyncio.ensure_future(trickle()) for _ in range(SLOW)]
    await asyncio.sleep(0.5)
    try:
        yield
    finally:
        for task in trickling:
            task.cancel()
        await asyncio.wait(trickling)


if __name__ == "__main__":
    asyncio.run(main())
