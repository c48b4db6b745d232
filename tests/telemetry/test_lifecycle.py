"""Connections are counted as they are made, used and closed, each closing once and under its cause."""

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
    """Make an instrumented engine on a file."""
    with ExitStack() as stack:

        def made(**options: Any) -> Engine:
            engine = create_engine(f"sqlite:///{tmp_path / 'life.db'}", **options)
            stack.callback(engine.dispose)
            instrument(engine, registry=registry)
            return engine

        yield made


@pytest.fixture
def closed(by: By) -> Callable[[], dict[str, float]]:
    """Ask for the closed connections by cause."""
    return lambda: {cause: count for (cause,), count in by("db_client_connections_closed_total", "cause").items()}


Closed = Callable[[], dict[str, float]]


def test_a_connection_that_is_used_again_is_made_once(make: Make, total: Total, closed: Closed) -> None:
    """Creation is timed and counted once, each use by itself, and nothing is closed."""
    engine = make()
    for _ in range(3):
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            time.sleep(0.002)
    assert total(CREATED) == total(f"{CREATE}_count", outcome="ok") == 1
    assert total(f"{USE}_count") == 3
    assert 0.006 <= total(f"{USE}_sum") < 1
    assert closed() == {}


def test_a_lifetime_ends_with_its_connection(make: Make, total: Total) -> None:
    """It is counted when the connection leaves the pool for good, and not before."""
    engine = make()
    lifetime = "db_client_connection_lifetime_seconds"
    with engine.connect():
        time.sleep(0.02)
    assert total(f"{lifetime}_count") == 0
    engine.dispose()
    with engine.connect() as connection:
        connection.detach()
    assert total(f"{lifetime}_count") == 2
    assert 0.02 <= total(f"{lifetime}_sum") < 1


def test_a_reset_is_the_pools_own(make: Make, total: Total) -> None:
    """A connection that is returned in the middle of something is reset; one whose transaction has ended is not."""
    engine = make()
    reset = "db_client_connection_reset_seconds"
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert total(f"{reset}_count") == 0
    raw = engine.raw_connection()
    raw.cursor().execute("CREATE TABLE t (a)")
    raw.close()
    assert total(f"{reset}_count") == 1
    assert 0 < total(f"{reset}_sum") < 1


def test_creation_includes_setting_up(make: Make, total: Total) -> None:
    """What listeners do to a new connection is part of making it."""
    engine = make()
    instrumented_before = create_engine("sqlite://")
    event.listen(instrumented_before, "connect", lambda *_: time.sleep(0.01))
    registry = CollectorRegistry()
    instrument(instrumented_before, registry=registry)
    for one in (engine, instrumented_before):
        one.connect().close()
    seconds = [s.value for f in registry.collect() for s in f.samples if s.name == f"{CREATE}_sum" and s.value]
    assert seconds[0] >= 0.01
    assert total(f"{CREATE}_sum") < seconds[0]
    instrumented_before.dispose()


async def test_failed_creations(registry: CollectorRegistry, by: By, total: Total) -> None:
    """A connect that fails is timed as an error, and is no connection."""
    engine = create_async_engine(f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/none")
    instrument(engine, registry=registry)
    with pytest.raises(OSError, match=r"refused|Connect"):
        await engine.connect()
    assert by(f"{CREATE}_count", "outcome") == {("error",): 1}
    assert total(CREATED) == 0


def test_overflow(make: Make, closed: Closed) -> None:
    """What the pool has no place for is closed as overflow."""
    engine = make(pool_size=1, max_overflow=2)
    connections = [engine.connect() for _ in range(3)]
    for connection in connections:
        connection.close()
    assert closed() == {"overflow": 2}


def test_a_null_pool_keeps_none(make: Make, total: Total, closed: Closed) -> None:
    """For a NullPool every connection is overflow."""
    engine = make(poolclass=NullPool)
    for _ in range(3):
        engine.connect().close()
    assert (total(CREATED), total(f"{USE}_count")) == (3, 3)
    assert closed() == {"overflow": 3}


def test_recycle(make: Make, total: Total, closed: Closed) -> None:
    """A connection that is too old is replaced at its next checkout."""
    engine = make()
    engine.connect().close()
    engine.pool._recycle = 0
    time.sleep(0.001)
    assert closed() == {}
    engine.connect().close()
    assert closed() == {"recycle": 1}
    assert total(CREATED) == 2


def test_invalidation_is_counted_once(make: Make, total: Total, closed: Closed) -> None:
    """SQLAlchemy tells of an invalidation and of the close that it is: one connection was lost."""
    engine = make()
    with engine.connect() as connection:
        connection.invalidate()
        connection.rollback()
        connection.execute(text("SELECT 1"))
    assert closed() == {"invalidate": 1}
    assert total(CREATED) == 2
    # The use that ended with the connection, and the one that went on with another.
    assert total(f"{USE}_count") == 2


def test_soft_invalidation(make: Make, closed: Closed) -> None:
    """A connection that is doubted is closed when it would next be used, and not before."""
    engine = make()
    raw = engine.raw_connection()
    raw.invalidate(soft=True)
    raw.close()
    assert closed() == {}
    time.sleep(0.001)
    engine.connect().close()
    assert closed() == {"soft_invalidate": 1}


def test_an_invalidated_pool(make: Make, closed: Closed) -> None:
    """One connection that is found dead takes the others of its pool with it, as they are next used."""
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
    """dispose() closes what is in the pool; what is out of it is closed by the garbage collector."""
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
    """Without the engine's event too, a connection that is closed for good was disposed of."""
    engine = make()
    engine.connect().close()
    engine.pool.dispose()
    gc.collect()
    assert closed() == {"dispose": 1}


def test_detach(make: Make, total: Total, closed: Closed) -> None:
    """A connection that is taken out of the pool has left it once, whenever it is closed."""
    engine = make()
    raw = engine.raw_connection()
    raw.detach()
    assert closed() == {"detach": 1}
    raw.close()
    with engine.connect():
        pass
    assert closed() == {"detach": 1}
    assert total(CREATED) == 2


async def test_a_cancelled_statement_costs_its_connection(
    postgres_url: str, registry: CollectorRegistry, total: Total, closed: Closed
) -> None:
    """Cancelling invalidates one connection, and its use has ended."""
    engine = create_async_engine(postgres_url)
    instrument(engine, registry=registry)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2), engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(10)"))
    assert closed() == {"invalidate": 1}
    assert total(f"{USE}_count") == 1
    await engine.dispose()
    assert closed() == {"invalidate": 1}


async def test_a_forgotten_asynchronous_connection(
    postgres_url: str, registry: CollectorRegistry, closed: Closed
) -> None:
    """What the garbage collector finds is terminated, and counted as its doing."""
    engine = create_async_engine(postgres_url)
    instrument(engine, registry=registry)
    connection = await engine.connect()
    await connection.execute(text("SELECT 1"))
    with pytest.warns(Warning, match="non-checked-in"):  # noqa: PT031 - forgetting it takes two
        del connection
        gc.collect()
    assert closed() == {"gc": 1}
    await engine.dispose()


def test_a_static_pool(make: Make, total: Total, closed: Closed) -> None:
    """Its one connection is made once; its uses overlap, so they are not timed."""
    engine = make(poolclass=StaticPool)
    with engine.connect(), engine.connect():
        pass
    assert total(CREATED) == 1
    assert total(f"{USE}_count") == 0
    engine.dispose()
    assert closed() == {"dispose": 1}


def test_what_was_made_is_closed_or_open(make: Make, total: Total, closed: Closed) -> None:
    """After a mix of everything, connections made minus connections closed are those that are open."""
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
