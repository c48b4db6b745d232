"""Checkouts that wait for a connection are counted and timed, by their outcome."""

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
    )
    instrument(made, registry=registry)
    yield made
    await made.dispose()


@pytest.fixture
def engine(tmp_path: Path, registry: CollectorRegistry) -> Iterator[Engine]:
    """A synchronous engine with one connection."""
    made = create_engine(
        f"sqlite:///{tmp_path / 'waits.db'}", poolclass=TimedQueuePool, pool_size=1, max_overflow=0
    )
    instrument(made, registry=registry)
    yield made
    made.dispose()


async def test_every_checkout_is_one_wait(aengine: AsyncEngine, by: By, total: Total) -> None:
    """A checkout that makes a connection, one that finds one and one that waits for one are one wait each."""
    await _connect(aengine)
    await _connect(aengine)
    start = time.perf_counter()
    async with aengine.connect():
        waiting = asyncio.create_task(_connect(aengine))
        await eventually(lambda: total(PENDING) == 1)
        before = time.perf_counter()
        await asyncio.sleep(0.02)
        held = time.perf_counter() - before
    await waiting
    elapsed = time.perf_counter() - start
    assert by(f"{WAIT}_count", "outcome") == {("ok",): 4}
    assert held < total(f"{WAIT}_sum") < elapsed
    assert total(f"{WAIT}_bucket", outcome="ok", le="0.0005") == 3
    assert total(PENDING) == 0


async def test_checkouts_of_an_empty_pool(aengine: AsyncEngine, total: Total) -> None:
    """A served checkout is an empty acquire if it made a connection or waited, and not otherwise."""
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


async def test_waiting_checkouts_are_not_overtaken(aengine: AsyncEngine, total: Total) -> None:
    """A returned connection goes to the checkout that has waited longest, also if a new one comes just then."""
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


async def test_a_timeout(tmp_path: Path, registry: CollectorRegistry, by: By, total: Total) -> None:
    """A checkout that gets no connection in time has waited for the whole timeout, and is no longer pending."""
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{tmp_path / 'timeout.db'}",
        poolclass=AsyncTimedQueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.1,
    )
    instrument(engine, registry=registry)
    async with engine.connect():
        with pytest.raises(PoolTimeoutError):
            await _connect(engine)
    await engine.dispose()
    assert total(TIMEOUTS) == 1
    assert by(f"{WAIT}_count", "outcome") == {("ok",): 1, ("timeout",): 1}
    assert total(f"{WAIT}_sum", outcome="timeout") >= 0.09
    assert total(PENDING) == 0


async def test_cancelled_waits_are_not_pending(aengine: AsyncEngine, by: By, total: Total) -> None:
    """Cancelled checkouts are counted as such, and the connection is free for the next one."""
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
    """The synchronous pool counts the waits of threads in the same way."""
    held = engine.connect()
    threads = [threading.Thread(target=lambda: engine.connect().close()) for _ in range(4)]
    for thread in threads:
        thread.start()
    while total(PENDING) < 4:
        time.sleep(0.001)
    held.close()
    for thread in threads:
        thread.join()
    assert total(PENDING) == 0
    assert by(f"{WAIT}_count", "outcome") == {("ok",): 5}


def test_the_pool_after_dispose_reports_too(
    tmp_path: Path, registry: CollectorRegistry, by: By, total: Total
) -> None:
    """The pool that replaces a disposed one reports to the same instrumentation, and emptying it is no checkout."""
    engine = create_engine(
        f"sqlite:///{tmp_path / 'waits.db'}",
        poolclass=TimedQueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.01,
    )
    instrument(engine, registry=registry)
    engine.connect().close()
    engine.dispose()
    assert by(f"{WAIT}_count", "outcome") == {("ok",): 1}
    assert isinstance(engine.pool, TimedQueuePool)
    engine.connect().close()
    engine.pool.dispose()
    engine.connect().close()
    assert by(f"{WAIT}_count", "outcome") == {("ok",): 3}
    with engine.connect(), pytest.raises(PoolTimeoutError):
        engine.connect()
    assert total(TIMEOUTS) == 1
    engine.dispose()


async def test_dispose_while_a_checkout_waits(aengine: AsyncEngine, total: Total) -> None:
    """A checkout that waits for a pool that is disposed still ends, and is then no longer pending."""
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
    await driver.close()  # the old pool does not close it


@pytest.mark.parametrize("poolclass", [QueuePool, NullPool, StaticPool])
def test_another_pool_exposes_no_waits(
    tmp_path: Path, registry: CollectorRegistry, poolclass: Any, total: Total
) -> None:
    """With another pool, the metrics of waits are missing rather than zero, and all others are there."""
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
    """After remove() the pool reports nothing and works as before."""
    instrument(engine, registry=registry).remove()
    for _ in range(2):
        engine.connect().close()
        engine.dispose()
    assert list(registry.collect()) == []


async def _connect(engine: AsyncEngine) -> None:
    async with engine.connect():
        pass
