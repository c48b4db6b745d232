"""The service beside what one would write by hand, in one run: `make bench`.

    python -m benchmarks.bench [--rounds 5] [--seconds 1] [--write docs/benchmarks.md]

Each server runs in a process of its own: the service with everything that is on by default; a bare grpc.aio echo;
UserService by hand on asyncpg; and by hand on sessions of SQLAlchemy's ORM. All use the same database, the same
generic handlers, and uvloop. Another process calls them in turn, after a warm-up, round after round, and a ratio is
of two figures of one round. Machines differ and are shared: quote the ratios.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from marketplace.v1 import user_pb2_grpc

from benchmarks.database import migrated
from benchmarks.load import BATCH, Done, Load
from benchmarks.process import Process, create_user, echo, peer, service
from marketplace_service import SERVICE
from tablestakes.database import open_database

USERS = 200
HERE = "service"


@dataclass(frozen=True)
class Case:
    """Something to measure.

    Attributes:
        name: For people.
        method: The RPC.
        kind: The requests, as in `load`.
        in_flight: How many callers there are.
        rows: How many rows a call writes, where it is the rows that count.
    """

    name: str
    method: str
    kind: str
    in_flight: int = 64
    rows: int = 0


CASES = (
    Case("GetUser, 1 in flight", "GetUser", "get", 1),
    Case("GetUser", "GetUser", "get"),
    Case("BatchGetUsers of 100", "BatchGetUsers", "batch_get", 16),
    Case("ListUsers of 100", "ListUsers", "list", 16),
    Case("ListUsers of 100, filtered", "ListUsers", "filtered", 16),
    Case("CreateUser", "CreateUser", "create"),
    Case("UpdateUser", "UpdateUser", "update"),
    Case("BatchCreateUsers of 1,000", "BatchCreateUsers", "batch_create", 2, BATCH),
)


@dataclass(frozen=True)
class Figure:
    """What one server did in one round.

    Attributes:
        rate: Calls a second; rows a second where it is the rows that count.
        p50: The median time of a call in milliseconds.
        p99: The 99th percentile.
        cpu: The user and system time of the server for one call, in microseconds.
    """

    rate: float
    p50: float
    p99: float
    cpu: float


class Caller:
    """The process that calls."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def call(self, load: Load) -> Done:
        """Make the calls of a load, and return what became of them."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(asdict(load)).encode() + b"\n")
        return Done(**json.loads(await stdout.readline()))


@asynccontextmanager
async def caller() -> AsyncIterator[Caller]:
    """Run the process that calls."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.load"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Caller(process)
    finally:
        process.terminate()
        await process.wait()


Table = dict[tuple[str, str], list[Figure]]


async def measure(
    calls: Caller, servers: dict[str, Process], names: list[str], rounds: int, seconds: float, table: Table
) -> None:
    """Call each method of each server in turn, round after round, the first of which is a warm-up."""
    for round_ in range(rounds + 1):
        for case in CASES:
            for server, process in servers.items():
                path = f"/marketplace.v1.UserService/{case.method}"
                if server == "echo":
                    if case.kind != "get":
                        continue
                    path = "/bench.Echo/Echo"
                mark = f"{os.urandom(4).hex()}"
                time = seconds if round_ else seconds / 2
                load = Load(process.address, path, case.kind, case.in_flight, time, names, mark)
                before = process.spent_us()
                done = await calls.call(load)
                spent = process.spent_us() - before
                if done.failed or not done.calls:
                    raise RuntimeError(f"{server}, {case.name}: {done.failed} of {done.calls} calls failed")
                if round_:
                    rate = done.calls * (case.rows or 1) / done.seconds
                    figure = Figure(rate, done.p50, done.p99, spent / done.calls)
                    table.setdefault((case.name, server), []).append(figure)
        print(f"round {round_} of {rounds}", file=sys.stderr, flush=True)


async def users(process: Process) -> list[str]:
    """Make users on the service, and return their names."""
    async with grpc.aio.insecure_channel(process.address) as channel:
        stub: Any = user_pb2_grpc.UserServiceStub(channel)
        return [(await create_user(stub, f"bench_{number}")).name for number in range(USERS)]


def report(title: str, table: Table, others: Sequence[str]) -> str:
    """Return a table in Markdown: the service's figures, and their ratios to the others' in the same rounds."""
    heads = ["RPC", "calls/s", "p50 ms", "p99 ms", "CPU µs"]
    for other in others:
        heads += [f"{other}: CPU µs", "ratio of CPU", "of p50"]
    lines = [f"## {title}", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for case in CASES:
        here = table[case.name, HERE]
        cells = [case.name + (", rows/s" if case.rows else "")]
        cells += [f"{statistics.median(each):,.0f}" for each in ([f.rate for f in here],)]
        cells += [f"{statistics.median(getattr(f, name) for f in here):.1f}" for name in ("p50", "p99")]
        cells.append(f"{statistics.median(f.cpu for f in here):,.0f}")
        for other in others:
            there = table.get((case.name, other))
            if there is None:
                cells += ["", "", ""]
                continue
            cells.append(f"{statistics.median(f.cpu for f in there):,.0f}")
            cells.append(_ratio([f.cpu for f in here], [f.cpu for f in there]))
            cells.append(_ratio([f.p50 for f in here], [f.p50 for f in there]))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _ratio(ours: list[float], theirs: list[float]) -> str:
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def machine() -> str:
    """Return the machine in a line."""
    info = Path("/proc/cpuinfo")
    found = [
        line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
    ]
    cpu = found[0] if found else platform.processor()
    return f"{os.cpu_count()} cores ({cpu}), Python {platform.python_version()}, grpcio {grpc.__version__}"


async def main() -> None:
    """Measure, and print a table for each database."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--write", type=Path, help="a file to write the tables to")
    options = parser.parse_args()
    parts = []
    async with caller() as calls:
        async with AsyncExitStack() as opened:
            url = await opened.enter_async_context(migrated())
            servers = {
                HERE: await opened.enter_async_context(service(url)),
                "echo": await opened.enter_async_context(echo()),
                "asyncpg": await opened.enter_async_context(peer("by_asyncpg", url)),
                "ORM": await opened.enter_async_context(peer("by_orm", url)),
            }
            table: Table = {}
            await measure(calls, servers, await users(servers[HERE]), options.rounds, options.seconds, table)
            parts.append(report("PostgreSQL", table, ["echo", "asyncpg", "ORM"]))
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite+aiosqlite:///{folder}/bench.db"
            database = open_database(SERVICE.settings.load(database_url=url))
            await SERVICE.schema.upgrade(database)
            await database.close()
            async with service(url) as here:
                table = {}
                await measure(calls, {HERE: here}, await users(here), options.rounds, options.seconds, table)
                parts.append(report("SQLite", table, []))
    text = "\n".join(parts)
    print(text)
    if options.write is not None:
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        given = {"rounds": options.rounds, "seconds": options.seconds}
        options.write.write_text(PAGE.format(day=day, machine=machine(), tables=text, **given))


PAGE = """\
# Benchmarks

`make bench` made this page on {day}: {machine}, with the database and the caller on the same machine; {rounds} rounds of
{seconds:g} s for each RPC and server, in turn and after a warm-up. Figures are medians. A ratio is the service's figure
divided by the other's in the same round: the median, the least and the greatest. Machines are shared and differ, so the
ratios are what can be compared. CPU is the user and system time of the server's process for one call. 64 calls are in
flight where nothing else is said, 16 of lists and of BatchGetUsers, and 2 of BatchCreateUsers.

The service has everything on that is on by default: deadlines, validation, details of errors, admission, metrics. The
others (`benchmarks/peers/`) have none of that: *echo* is a bare grpc.aio server that answers with its request, *asyncpg*
a servicer that was written by hand with care (its pool is spared the reset that it sends by default), *ORM* one on
sessions of SQLAlchemy's ORM, as tutorials write it.

{tables}"""  # noqa: E501 - it is prose


if __name__ == "__main__":
    asyncio.run(main())
