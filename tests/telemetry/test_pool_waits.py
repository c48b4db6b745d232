"""Who waits for a connection of the pool, how long, and with what outcome."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from tablestakes.telemetry import AsyncTimedQueuePool, TimedQueuePool, instrument
from tests.serving import eventually

Total = Callable[..., float]
By = Callable[..., dict[tuple[str, ...], float]]
PENDING, TIMEOUTS = "db_client_connection_pending_requests", "db_client_connection_timeouts_total"
WAIT = "db_client_connection_wait_time_seconds"


@pytest.fixture
async def aengine(tmp_path: Path, registry: CollectorRegistry) -> AsyncIterator[AsyncEngine]:
    """An asynchronous engine with one connection."""
    made = create_async_engine(
        f"sqlite+aiosqlite:///{tmp_path / 'waits.db'}",
        poolclass=AsyncTimedQueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.1,
    )
    instrument(made, registry=registry)
    yield made
    await made.dispose()


@pytest.fixture
def engine(tmp_path: Path, registry: CollectorRegistry) -> Iterator[Engine]:
    """A synchronous engine with one connection."""
    made = create_engine(
        f"sqlite:///{tmp_path / 'waits.db'}", poolclass=TimedQueuePool, pool_size=1, max_overflow=0, pool_timeout=5
    )
    instrument(made, registry=registry)
    yield made
    made.dispose()


async def test_every_checkout_is_one_wait(aengine: AsyncEngine, by: By, total: Total) -> None:
    """A checkout that makes a connection, one that finds one and one that waits for one count once each."""

    async def hold(seconds: float) -> None:
        async with aengine.connect():
            await asyncio.sleep(seconds)

    await hold(0)
    await hold(0)
    start = time.perf_counter()
    await asyncio.gather(hold(0.05), hold(0))
    took = time.perf_counter() - start
    assert by(f"{WAIT}_count", "outcome") == {("ok",): 4}
    assert 0.03 < total(f"{WAIT}_sum") < took
    assert total(f"{WAIT}_bucket", outcome="ok", le="0.0005") == 3
    assert total(PENDING) == 0


async def test_who_found_the_pool_empty(aengine: AsyncEngine, total: Total) -> None:
    """Of the checkouts that were served those count that made a connection or waited, and no other."""
    prefix = "db_client_connection_"

    def counts() -> list[float]:
        return [total(f"{prefix}{name}acquires_total") for name in ("", "empty_", "canceled_")]

    async with aengine.connect():
        assert counts() == [1, 1, 0]
    async with aengine.connect():
        assert counts() == [2, 1, 0]
        waiting = asyncio.create_task(_connect(aengine))
        given_up = asyncio.create_task(_connect(aengine))
        await eventually(lambda: total(PENDING) == 2)
        given_up.cancel()
        await asyncio.wait([given_up])
    await waiting
    assert counts() == [3, 2, 1]


async def test_those_who_wait_are_not_overtaken(aengine: AsyncEngine, total: Total) -> None:
    """A connection that is returned goes to who has waited longest, also if somebody comes just then."""
    order = []

    async def use(name: str) -> None:
        async with aengine.connect():
            order.append(name)

    async with aengine.connect():
        first = asyncio.create_task(use("first"))
        await eventually(lambda: total(PENDING) == 1)
    late = asyncio.create_task(use("late"))
    await asyncio.gather(first, late)
    assert order == ["first", "late"]


async def test_a_timeout(aengine: AsyncEngine, by: By, total: Total) -> None:
    """A checkout that got no connection in time waited for all of it, and nobody is left waiting."""
    async with aengine.connect():
        waiting = asyncio.create_task(_connect(aengine))
        await eventually(lambda: total(PENDING) == 1)
        with pytest.raises(PoolTimeoutError):
            await waiting
    assert total(TIMEOUTS) == 1
    assert by(f"{WAIT}_count", "outcome") == {("ok",): 1, ("timeout",): 1}
    assert total(f"{WAIT}_sum", outcome="timeout") >= 0.09
    assert total(PENDING) == 0


async def test_cancelled_waits_leave_nobody_pending(aengine: AsyncEngine, by: By, total: Total) -> None:
    """Callers who leave are counted as such, and the connection is free for the next one."""
    async with aengine.connect():
        waiting = [asyncio.create_task(_connect(aengine)) for _ in range(20)]
        await eventually(lambda: total(PENDING) == 20)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        assert total(PENDING) == 0
    await _connect(aengine)
    assert by(f"{WAIT}_count", "outcome") == {("ok",): 2, ("cancelled",): 20}
    assert total(TIMEOUTS) == 0


def test_threads_wait_too(engine: Engine, by: By, total: Total) -> None:
    """The synchronous pool counts its waits in the same way."""
    held = engine.connect()
    threads = [threading.Thread(target=lambda: engine.connect().close()) for _ in range(4)]
    for thread in threads:
        thread.start()
    while total(PENDING) < 4:
        pass
    held.close()
    for thread in threads:
        thread.join()
    assert total(PENDING) == 0
    assert by(f"{WAIT}_count", "outcome") == {("ok",): 5}


def test_dispose_keeps_telling_and_is_no_checkout(engine: Engine, by: By, total: Total) -> None:
    """The pool that takes a disposed one's place reports to the same, and emptying a pool is no checkout."""
    engine.connect().close()
    engine.dispose()
    assert by(f"{WAIT}_count", "outcome") == {("ok",): 1}
    assert isinstance(engine.pool, TimedQueuePool)
    engine.connect().close()
    engine.pool.dispose()
    engine.connect().close()
    assert by(f"{WAIT}_count", "outcome") == {("ok",): 3}
    engine.pool._timeout = 0.01
    with engine.connect(), pytest.raises(PoolTimeoutError):
        engine.connect()
    assert total(TIMEOUTS) == 1


async def test_dispose_while_someone_waits(aengine: AsyncEngine, total: Total) -> None:
    """Whoever waits at a pool that is disposed still ends, and is no longer pending."""
    held = await aengine.connect()
    driver = (await held.get_raw_connection()).driver_connection
    assert driver is not None
    waiting = asyncio.create_task(_connect(aengine))
    await eventually(lambda: total(PENDING) == 1)
    await aengine.dispose()
    assert total(PENDING) == 1
    await held.close()
    await waiting
    assert total(PENDING) == 0
    await driver.close()  # which the pool that is gone will not do


@pytest.mark.parametrize("poolclass", [QueuePool, NullPool, StaticPool])
def test_a_pool_that_cannot_tell_says_nothing(
    tmp_path: Path, registry: CollectorRegistry, poolclass: Any, total: Total
) -> None:
    """Zero would be a claim: an engine with another pool has no waits at all, and everything else."""
    engine = create_engine(f"sqlite:///{tmp_path / 'waits.db'}", poolclass=poolclass)
    instrument(engine, registry=registry)
    with engine.connect():
        pass
    engine.dispose()
    samples = {sample.name for family in registry.collect() for sample in family.samples}
    assert not samples & {PENDING, TIMEOUTS, f"{WAIT}_count"}
    assert total("db_client_connections_created_total") == 1
    assert ("db_client_connection_use_time_seconds_count" in samples) == (poolclass is not StaticPool)


def test_a_pool_without_an_instrumentation_is_a_queue_pool(engine: Engine, registry: CollectorRegistry) -> None:
    """remove() silences the pool, and it goes on to work."""
    instrument(engine, registry=registry).remove()
    for _ in range(2):
        engine.connect().close()
        engine.dispose()
    assert list(registry.collect()) == []


async def _connect(engine: AsyncEngine) -> None:
    async with engine.connect():
        pass
