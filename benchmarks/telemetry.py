"""The cost of observing: the service with and without it, one statement with and without it, and a scrape.

    python -m benchmarks.telemetry

On and off take turns, so that what else the machine does meets both. An RPC is measured by the CPU of the server's
process, on PostgreSQL; a statement by the CPU of this thread, on SQLite in memory, where nothing else takes long; a
scrape by the CPU of rendering as many samples as a service of eighty methods has, in OpenMetrics and compressed.
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

import grpc
from marketplace.v1 import user_pb2, user_pb2_grpc
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, Engine, create_engine, literal, select

from benchmarks.database import migrated
from benchmarks.process import create_user, service
from marketplace_service import SERVICE
from tablestakes.crud.query.token import PageTokens
from tablestakes.telemetry import CODES, RpcMetrics, TimedQueuePool, enter, instrument, new_registry
from tablestakes.telemetry.show.scrape import scrape

# The headers that a Prometheus sends.
PROMETHEUS = {"accept": "application/openmetrics-text;version=1.0.0", "accept_encoding": "gzip"}
ROUNDS = 15
CALLS = 4_000
STATEMENTS = 5_000
SAMPLES = 5_000


async def main() -> None:
    """Measure, and print what each costs, beside what the project asks of it."""
    on, off = await _rpc()
    share = statistics.median((a - b) / a for a, b in zip(on, off, strict=True)) * 100
    print(
        f"GetUser    {_median(on):6.0f} µs of server CPU, {_median(off):.0f} without: {share:.1f} % (at most 5 %)"
    )
    for label, figure, most in (
        ("statement", _statement(_execute), "at most 5 µs"),
        ("  in an RPC", _statement(_execute, rpc=True), "at most 5 µs"),
        ("checkout", _statement(_check_out), "and its checkin"),
    ):
        print(f"{label:12} {figure:5.1f} µs of CPU ({most})")
    samples, seconds = _scrape()
    print(f"scrape     {seconds * 1e3:6.1f} ms of CPU for {samples} samples (at most 25 ms for 5000)")


async def _rpc() -> tuple[list[float], list[float]]:
    on: list[float] = []
    off: list[float] = []
    async with (
        migrated() as url,
        service(url) as seen,
        service(url, observed=False) as unseen,
        grpc.aio.insecure_channel(seen.address) as to_seen,
        grpc.aio.insecure_channel(unseen.address) as to_unseen,
    ):
        users: list[Any] = [user_pb2_grpc.UserServiceStub(channel) for channel in (to_seen, to_unseen)]
        get = user_pb2.GetUserRequest(name=(await create_user(users[0], "bench")).name)
        for round_ in range(ROUNDS + 1):
            with_, without = (
                await seen.cpu_us(lambda: users[0].GetUser(get), CALLS),
                await unseen.cpu_us(lambda: users[1].GetUser(get), CALLS),
            )
            if round_:  # the first one warms up
                on.append(with_)
                off.append(without)
    return on, off


def _statement(work: Callable[[Engine, Connection], None], *, rpc: bool = False) -> float:
    """Return how much longer a unit of work takes with listeners than without, in microseconds."""
    registry = CollectorRegistry()
    plain, observed = (
        create_engine("sqlite://", poolclass=TimedQueuePool, isolation_level="AUTOCOMMIT") for _ in range(2)
    )
    instrument(observed, registry=registry)
    method = RpcMetrics(registry).method("bench.Bench", "Bench")
    differences = []
    with plain.connect() as unseen, observed.connect() as seen:
        for round_ in range(ROUNDS + 1):
            if rpc:
                enter(method)
            spent = [
                _cpu_us(work, engine, connection) for engine, connection in ((observed, seen), (plain, unseen))
            ]
            if round_:
                differences.append(spent[0] - spent[1])
    return statistics.median(differences)


def _cpu_us(work: Callable[[Engine, Connection], None], engine: Engine, connection: Connection) -> float:
    before = time.thread_time()
    for _ in range(STATEMENTS):
        work(engine, connection)
    return (time.thread_time() - before) / STATEMENTS * 1e6


_ONE = select(literal(1))


def _execute(_engine: Engine, connection: Connection) -> None:
    connection.execute(_ONE)


def _check_out(engine: Engine, _connection: Connection) -> None:
    with engine.connect() as connection:
        connection.begin()


def _scrape() -> tuple[int, float]:
    registry = new_registry({"version": "0"})
    engine = create_engine("sqlite://")
    instrument(engine, registry=registry)
    metrics = RpcMetrics(registry)
    for rpc in SERVICE.bind(PageTokens(b"benchmark")):
        method = metrics.method(rpc.service, rpc.name)
        for code in CODES:
            method.started()
            method.handled(code, 0.003)
    with engine.connect() as connection:
        connection.execute(_ONE)
    # Methods are what there are most samples of, here as in a service.
    while (samples := _samples(registry)) < SAMPLES:
        metrics.method("bench.Bench", f"Method{samples}")
    times = []
    for _ in range(ROUNDS):
        before = time.thread_time()
        scrape(registry, **PROMETHEUS)
        times.append(time.thread_time() - before)
    return samples, statistics.median(times)


def _samples(registry: CollectorRegistry) -> int:
    return sum(len(family.samples) for family in registry.collect())


def _median(figures: list[float]) -> float:
    return statistics.median(figures)


if __name__ == "__main__":
    asyncio.run(main())
