"""Goodput under overload, with admission off and adaptive, side by side in one run.

    python -m benchmarks.overload [--seconds 8] [--cases statements cpu cheap] [--times 1 2 4]

Three cases, each on a server in a process of its own with PostgreSQL beside it: statements of 50 ms over a pool of
8 connections; the event loop's CPU as the limit, with calls that cost it milliseconds (ListUsers of 400); and with
calls that cost little more than a refusal does (GetUser). The capacity is measured first, by callers who each wait
for their answer. Then processes send calls with a deadline of 0.5 s at multiples of it, whether or not earlier ones
have been answered. Goodput is the share of the peak that is answered OK; the peak is the best rate of OK answers of
the case, the capacity included. `in vain` is the share of the statements whose call was not answered OK.

Machines are shared and differ: the shares are what is comparable.
"""

import argparse
import asyncio
import json
import re
import statistics
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc
from marketplace.v1 import tag_pb2, user_pb2, user_pb2_grpc

from benchmarks.database import migrated
from benchmarks.process import Process, create_user, service

DEADLINE = 0.5
LOADERS, CHANNELS = 2, 2
WARM_SECONDS = 3.0
USERS = 400

REFUSED = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")

# The marketplace, with a GetTag that sleeps in the database.
SLEEPY = """
import sys
from dataclasses import replace
from marketplace.v1 import tag_pb2
from marketplace_service import SERVICE
from sqlalchemy import text
from tablestakes import Work
NAP = text("SELECT pg_sleep(0.05)")
def nap(session):
    session.connection.execute(NAP)
    return tag_pb2.Tag(name="tags/nap")
async def get_tag(_schema, _call):
    return Work(nap)
same = [replace(each, methods={**each.methods, "GetTag": get_tag}) if each.message is tag_pb2.Tag else each
        for each in SERVICE.resources]
sys.argv[0] = "tablestakes"
replace(SERVICE, resources=same).main()
"""


@dataclass(frozen=True)
class Case:
    """A case.

    Attributes:
        name: Its name.
        statements: How many its method sends.
        path: The method.
        request: The request.
        in_flight: How many callers measure the capacity.
    """

    name: str
    statements: int
    path: str
    request: bytes
    in_flight: int


@dataclass
class Outcome:
    """The calls of a load.

    Attributes:
        codes: How many ended with each code.
        ok: Of how long those took that were answered OK, in seconds.
        refused: The same of those that were refused.
    """

    codes: Counter[str]
    ok: list[float]
    refused: list[float]


async def load(address: str, path: str, request: bytes, rate: float, seconds: float) -> Outcome:
    """Send calls at a rate, each with the deadline, whether or not earlier ones have been answered."""
    outcome = Outcome(Counter(), [], [])
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(address, options) for _ in range(CHANNELS)]
    calls: list[Any] = [channel.unary_unary(path) for channel in channels]

    async def one(number: int) -> None:
        began = time.perf_counter()
        try:
            await calls[number % CHANNELS](request, timeout=DEADLINE)
            code = "OK"
        except grpc.aio.AioRpcError as error:
            code = error.code().name
        took = time.perf_counter() - began
        outcome.codes[code] += 1
        if code == "OK":
            outcome.ok.append(took)
        elif code in REFUSED:
            outcome.refused.append(took)

    start, sent, running = time.perf_counter(), 0, set()
    while (now := time.perf_counter() - start) < seconds:
        while sent < now * rate:
            task = asyncio.create_task(one(sent))
            running.add(task)
            task.add_done_callback(running.discard)
            sent += 1
        await asyncio.sleep(0.001)
    await asyncio.gather(*running)
    for channel in channels:
        await channel.close()
    return outcome


async def capacity(server: Process, case: Case, seconds: float) -> float:
    """Return how many calls a second are answered to callers who wait for each answer."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        call: Any = channel.unary_unary(case.path)
        done, until = 0, time.perf_counter() + seconds

        async def caller() -> None:
            nonlocal done
            while time.perf_counter() < until:
                try:
                    await call(case.request)
                    done += 1
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.01)

        await asyncio.gather(*(caller() for _ in range(case.in_flight)))
    return done / seconds


async def overload(server: Process, case: Case, rate: float, seconds: float) -> tuple[Outcome, list[float], int]:
    """Return the outcome of a load from other processes, the times of health, and how many statements ran."""
    command = (sys.executable, "-m", "benchmarks.overload", "--load", server.address, case.path, case.request.hex())
    figures = (str(rate / LOADERS), str(seconds))
    before = statements(server)
    loaders = [
        await asyncio.create_subprocess_exec(
            *command, *figures, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(LOADERS)
    ]
    # Their imports are over before anything is measured.
    for loader in loaders:
        assert loader.stdout is not None
        await loader.stdout.readline()
    asked = asyncio.create_task(ask_health(server))
    answers = [
        json.loads(said) for said, _ in await asyncio.gather(*(each.communicate(b"go\n") for each in loaders))
    ]
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await asyncio.sleep(1)
    total = Outcome(Counter(), [], [])
    for answer in answers:
        total.codes.update(answer["codes"])
        total.ok += answer["ok"]
        total.refused += answer["refused"]
    return total, health_times, statements(server) - before


health_times: list[float] = []


async def ask_health(server: Process) -> None:
    """Ask for the server's health twenty times a second, until this is cancelled."""
    health_times.clear()
    async with grpc.aio.insecure_channel(server.address, (("grpc.use_local_subchannel_pool", 1),)) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        while True:
            began = time.perf_counter()
            try:
                await check(health_pb2.HealthCheckRequest(), timeout=2)
                health_times.append(time.perf_counter() - began)
            except grpc.aio.AioRpcError:
                health_times.append(float("inf"))
            await asyncio.sleep(0.05)


def statements(server: Process) -> int:
    """Return how many statements the server has sent."""
    with urllib.request.urlopen(server.metrics, timeout=30) as scraped:  # noqa: S310
        text = scraped.read().decode()
    found = re.findall(r"^db_client_operation_duration_seconds_count\{.*\} (\S+)$", text, re.MULTILINE)
    return int(sum(map(float, found)))


def p99(times: Sequence[float]) -> float:
    """Return the 99th percentile in milliseconds, NaN of nothing."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1000 if ordered else float("nan")


async def measure(case: Case, url: str, options: argparse.Namespace) -> None:
    """Measure a case with admission off and adaptive, and print a row for each load."""
    rows, peak, most = [], 0.0, 0.0
    for admission in ("off", "adaptive"):
        async with AsyncExitStack() as opened:
            program = ("-c", SLEEPY) if case.name == "statements" else ("-m", "server")
            more = (f"--admission={admission}", "--pool-size=8", "--pool-timeout=1")
            server = await opened.enter_async_context(service(url, program=program, more=more))
            await capacity(server, case, WARM_SECONDS)
            here = await capacity(server, case, options.seconds)
            most = most or here
            peak = max(peak, here)
            print(f"{case.name}: capacity with admission {admission} {here:.0f}/s", flush=True)
            for times in options.times:
                outcome, health, ran = await overload(server, case, times * most, options.seconds)
                good = outcome.codes["OK"] / options.seconds
                peak = max(peak, good)
                rows.append((admission, times, good, outcome, p99(health), max(health), ran))
    print(f"{case.name}: peak {peak:.0f}/s, deadline {DEADLINE} s")
    print("  admission  load  goodput  refused  p99 ms  OK p50/p99 ms  health p99/max ms  CANCELLED  late  in vain")
    for admission, times, good, outcome, health99, slowest, ran in rows:
        sent, codes = outcome.codes.total(), outcome.codes
        vain = 1 - case.statements * codes["OK"] / ran if ran else 0.0
        print(
            f"  {admission:9} {times:4.0f}x {good / peak:8.0%} {sum(codes[c] for c in REFUSED) / sent:8.0%}"
            f" {p99(outcome.refused):7.0f}"
            f" {statistics.median(outcome.ok or [float('nan')]) * 1000:6.0f}/{p99(outcome.ok):<6.0f}"
            f" {health99:9.0f}/{slowest * 1000:<8.0f} {codes['CANCELLED'] / sent:9.0%}"
            f" {codes['DEADLINE_EXCEEDED'] / sent:6.0%} {vain:7.0%}",
            flush=True,
        )


async def main() -> None:
    """Measure, or be a process that loads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--cases", nargs="+", default=["statements", "cpu", "cheap"])
    parser.add_argument("--times", nargs="+", type=float, default=[1.0, 2.0, 4.0])
    parser.add_argument("--load", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        address, path, request, rate, seconds = options.load
        print("ready", flush=True)
        sys.stdin.readline()
        outcome = await load(address, path, bytes.fromhex(request), float(rate), float(seconds))
        print(json.dumps({"codes": outcome.codes, "ok": outcome.ok, "refused": outcome.refused}))
        return
    async with migrated() as url:
        async with service(url) as server, grpc.aio.insecure_channel(server.address) as channel:
            users: Any = user_pb2_grpc.UserServiceStub(channel)
            made = [await create_user(users, f"bench_{number}") for number in range(USERS)]
        napping = tag_pb2.GetTagRequest(name="tags/nap").SerializeToString()
        listing = user_pb2.ListUsersRequest(page_size=USERS).SerializeToString()
        getting = user_pb2.GetUserRequest(name=made[0].name).SerializeToString()
        cases = (
            Case("statements", 1, "/marketplace.v1.TagService/GetTag", napping, 16),
            Case("cpu", 2, "/marketplace.v1.UserService/ListUsers", listing, 16),
            Case("cheap", 1, "/marketplace.v1.UserService/GetUser", getting, 32),
        )
        for case in cases:
            if case.name in options.cases:
                await measure(case, url, options)


if __name__ == "__main__":
    uvloop.run(main())
