"""Connections are counted when they are made, used and closed, and each close is counted once, by its cause."""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool, StaticPool

from tablestakes.telemetry import instrument
from tests.postgres import free_port

Total = Callable[..., float]
By = Callable[..., dict[tuple[str, ...], float]]
Make = Callable[..., Engine]
CREATED, USE = "db_client_connections_created_total", "db_client_connection_use_time_seconds"
CREATE = "db_client_connection_create_time_seconds"


@pytest.fixture
def make(tmp_path: Path, registry: CollectorRegistry) -> Iterator[Make]:
    """A function that makes an instrumented engine on a file."""
    with ExitStack() as stack:

        def made(**options: Any) -> Engine:
            engine = create_engine(f"sqlite:///{tmp_path / 'life.db'}", **options)
            stack.callback(engine.dispose)
            instrument(engine, registry=registry)
            return engine

        yield made


@pytest.fixture
def closed(by: By) -> Callable[[], dict[str, float]]:
    """A function that returns the number of closed connections by cause."""
    return lambda: {cause: count for (cause,), count in by("db_client_connections_closed_total", "cause").items()}


Closed = Callable[[], dict[str, float]]


def test_a_connection_is_made_once_and_used_often(make: Make, total: Total, closed: Closed) -> None:
    """The creation of a connection is timed once and each use by itself, and nothing is closed."""
    engine = make()
    start = time.perf_counter()
    for _ in range(3):
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            time.sleep(0.002)
    elapsed = time.perf_counter() - start
    assert total(CREATED) == total(f"{CREATE}_count", outcome="ok") == 1
    assert total(f"{USE}_count") == 3
    assert 0.006 <= total(f"{USE}_sum") < elapsed
    assert closed() == {}


def test_a_lifetime_ends_with_its_connection(make: Make, total: Total) -> None:
    """A lifetime is counted when the connection leaves the pool for good, and not before."""
    engine = make()
    lifetime = "db_client_connection_lifetime_seconds"
    start = time.perf_counter()
    with engine.connect():
        time.sleep(0.02)
    assert total(f"{lifetime}_count") == 0
    engine.dispose()
    with engine.connect() as connection:
        connection.detach()
    assert total(f"{lifetime}_count") == 2
    assert 0.02 <= total(f"{lifetime}_sum") < time.perf_counter() - start


def test_a_reset_is_the_pools_own(make: Make, total: Total) -> None:
    """A connection is reset if it is returned in a transaction, and not if its transaction has ended."""
    engine = make()
    reset = "db_client_connection_reset_seconds"
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert total(f"{reset}_count") == 0
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (a)"))
        connection.execute(text("INSERT INTO t VALUES (1)"))
    assert total(f"{reset}_count") == 0
    raw = engine.raw_connection()
    raw.cursor().execute("INSERT INTO t VALUES (2)")
    start = time.perf_counter()
    raw.close()
    elapsed = time.perf_counter() - start
    assert total(f"{reset}_count") == 1
    assert 0 < total(f"{reset}_sum") < elapsed


async def test_a_reset_is_a_rollback_that_was_sent(
    empty_url: str, registry: CollectorRegistry, total: Total
) -> None:
    """After a COMMIT, in autocommit and without a transaction, a returned connection is not reset."""
    engine = create_async_engine(empty_url)
    instrument(engine, registry=registry)
    reset = "db_client_connection_reset_seconds_count"
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE t (a INTEGER)"))
        await connection.execute(text("INSERT INTO t VALUES (1)"))
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("INSERT INTO t VALUES (2)"))
    (await engine.raw_connection()).close()
    assert total(reset) == 0

    def leave(pool: Any) -> None:
        raw = pool.connect()
        raw.cursor().execute("INSERT INTO t VALUES (3)")
        raw.close()

    async with engine.connect() as connection:
        await connection.run_sync(lambda sync: leave(sync.engine.pool))
    assert total(reset) == 1
    await engine.dispose()


def test_creation_includes_setting_up(registry: CollectorRegistry, total: Total) -> None:
    """The time of listeners that set up a new connection is part of its creation."""
    engine = create_engine("sqlite://")
    set_up: list[float] = []

    @event.listens_for(engine, "connect")
    def take_a_while(*_: object) -> None:
        start = time.perf_counter()
        time.sleep(0.01)
        set_up.append(time.perf_counter() - start)

    instrument(engine, registry=registry)
    start = time.perf_counter()
    engine.connect().close()
    elapsed = time.perf_counter() - start
    engine.dispose()
    assert set_up[0] < total(f"{CREATE}_sum", outcome="ok") < elapsed


async def test_failed_creations(registry: CollectorRegistry, by: By, total: Total) -> None:
    """A failed connect is timed as an error, and no connection is counted."""
    engine = create_async_engine(f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/none")
    instrument(engine, registry=registry)
    with pytest.raises(OSError, match=r"refused|Connect"):
        await engine.connect()
    assert by(f"{CREATE}_count", "outcome") == {("error",): 1}
    assert total(CREATED) == 0


def test_overflow(make: Make, closed: Closed) -> None:
    """A connection that the pool has no room for is closed as `overflow`."""
    engine = make(pool_size=1, max_overflow=2)
    connections = [engine.connect() for _ in range(3)]
    for connection in connections:
        connection.close()
    assert closed() == {"overflow": 2}


def test_a_null_pool_keeps_none(make: Make, total: Total, closed: Closed) -> None:
    """Every connection of a NullPool is closed as `overflow`."""
    engine = make(poolclass=NullPool)
    for _ in range(3):
        engine.connect().close()
    assert (total(CREATED), total(f"{USE}_count")) == (3, 3)
    assert closed() == {"overflow": 3}


def test_recycle(make: Make, total: Total, closed: Closed) -> None:
    """A connection that is too old is replaced at its next checkout, and counted as `recycle`."""
    engine = make()
    engine.connect().close()
    engine.pool._recycle = 0
    time.sleep(0.001)
    assert closed() == {}
    engine.connect().close()
    assert closed() == {"recycle": 1}
    assert total(CREATED) == 2


def test_invalidation_is_counted_once(make: Make, total: Total, closed: Closed) -> None:
    """An invalidated connection is counted once, although SQLAlchemy reports an invalidation and a close."""
    engine = make()
    with engine.connect() as connection:
        connection.invalidate()
        connection.rollback()
        connection.execute(text("SELECT 1"))
    assert closed() == {"invalidate": 1}
    assert total(CREATED) == 2
    # One use ended with the connection, and another with its replacement.
    assert total(f"{USE}_count") == 2


def test_soft_invalidation(make: Make, closed: Closed) -> None:
    """A soft-invalidated connection is closed at its next checkout, and not before."""
    engine = make()
    raw = engine.raw_connection()
    raw.invalidate(soft=True)
    raw.close()
    assert closed() == {}
    time.sleep(0.001)
    engine.connect().close()
    assert closed() == {"soft_invalidate": 1}


def test_an_invalidated_pool(make: Make, closed: Closed) -> None:
    """If a connection invalidates its pool, the others are closed at their next checkout as `invalidate`."""
    engine = make(pool_size=2)
    first, second = engine.connect(), engine.connect()
    first.close()
    second.close()
    time.sleep(0.001)
    refusals = iter([True])

    def refuse(*_: object) -> None:
        if next(refusals, False):
            raise InvalidatePoolError("the server went away")

    event.listen(engine, "checkout", refuse)
    first, second = engine.connect(), engine.connect()
    first.close()
    second.close()
    assert closed() == {"invalidate": 2}


def test_dispose(make: Make, closed: Closed) -> None:
    """dispose() closes idle connections; those that are checked out are closed by the garbage collector."""
    engine = make(pool_size=3)
    connections = [engine.connect() for _ in range(3)]
    for connection in connections[:2]:
        connection.close()
    engine.dispose()
    assert closed() == {"dispose": 2}
    connections.pop().close()
    del connections, connection
    gc.collect()
    assert closed() == {"dispose": 2, "gc": 1}


def test_a_pool_that_is_disposed_by_itself(make: Make, closed: Closed) -> None:
    """A connection of a pool that is disposed of without its engine is also counted as `dispose`."""
    engine = make()
    engine.connect().close()
    engine.pool.dispose()
    gc.collect()
    assert closed() == {"dispose": 1}


def test_detach(make: Make, total: Total, closed: Closed) -> None:
    """A detached connection is counted once, when it is detached and not when it is closed."""
    engine = make()
    raw = engine.raw_connection()
    raw.detach()
    assert closed() == {"detach": 1}
    raw.close()
    with engine.connect():
        pass
    assert closed() == {"detach": 1}
    assert total(CREATED) == 2


async def test_a_cancelled_statement_invalidates_its_connection(
    postgres_url: str, registry: CollectorRegistry, total: Total, closed: Closed
) -> None:
    """Cancelling a statement invalidates its connection and ends its use."""
    engine = create_async_engine(postgres_url)
    instrument(engine, registry=registry)
    with pytest.raises(TimeoutError):
        async with engine.connect() as connection, asyncio.timeout(0.1):
            await connection.execute(text("SELECT pg_sleep(30)"))
    assert closed() == {"invalidate": 1}
    assert total(f"{USE}_count") == 1
    await engine.dispose()
    assert closed() == {"invalidate": 1}


async def test_a_forgotten_asynchronous_connection(
    postgres_url: str, registry: CollectorRegistry, closed: Closed
) -> None:
    """A connection that the garbage collector finds is terminated and counted as `gc`."""
    engine = create_async_engine(postgres_url)
    instrument(engine, registry=registry)
    connection = await engine.connect()
    await connection.execute(text("SELECT 1"))
    with pytest.warns(Warning, match="non-checked-in"):  # noqa: PT031 - it takes two statements
        del connection
        gc.collect()
    assert closed() == {"gc": 1}
    await engine.dispose()


def test_a_static_pool(make: Make, total: Total, closed: Closed) -> None:
    """The connection of a StaticPool is made once; its uses overlap, so they are not timed."""
    engine = make(poolclass=StaticPool)
    with engine.connect(), engine.connect():
        pass
    assert total(CREATED) == 1
    assert total(f"{USE}_count") == 0
    engine.dispose()
    assert closed() == {"dispose": 1}


def test_every_connection_is_closed_or_open(make: Make, total: Total, closed: Closed) -> None:
    """After a mixed load, the connections made minus the connections closed are those that are open."""
    engine = make(pool_size=2, max_overflow=2)
    for number in range(12):
        connections = [engine.connect() for _ in range(number % 4 + 1)]
        if number % 3 == 0:
            connections[0].invalidate()
        for connection in connections:
            connection.close()
        if number % 6 == 5:
            engine.dispose()
    engine.connect().close()
    assert total(CREATED) - sum(closed().values()) == total("db_client_connection_count")
