"""The pool gauges say how many connections are open, whatever happened to them."""

import gc
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AssertionPool, ConnectionPoolEntry, NullPool, Pool, StaticPool

from tablestakes.telemetry import instrument

Gauges = Callable[[], tuple[float | None, float | None, float | None]]


class Odd(Pool):
    """A pool that is none of SQLAlchemy's."""

    def _do_get(self) -> ConnectionPoolEntry:
        return self._create_connection()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        record.close()

    def dispose(self) -> None:
        """Have nothing to close."""

    def recreate(self) -> "Odd":
        """Return another one."""
        return Odd(self._creator, dialect=self._dialect, _dispatch=self.dispatch)


@pytest.fixture
def gauges(registry: CollectorRegistry) -> Gauges:
    """Ask for idle, used and max."""

    def ask() -> tuple[float | None, float | None, float | None]:
        labels = {"db_system_name": "sqlite", "db_client_connection_pool_name": "default"}
        count = "db_client_connection_count"
        return (
            registry.get_sample_value(count, labels | {"state": "idle"}),
            registry.get_sample_value(count, labels | {"state": "used"}),
            registry.get_sample_value("db_client_connection_max", labels),
        )

    return ask


@pytest.fixture
def make(tmp_path: Path, registry: CollectorRegistry) -> Iterator[Callable[..., Engine]]:
    """Make an instrumented engine on a file."""
    with ExitStack() as stack:

        def made(**options: Any) -> Engine:
            engine = create_engine(f"sqlite:///{tmp_path / 'pool.db'}", **options)
            stack.callback(engine.dispose)
            instrument(engine, registry=registry)
            return engine

        yield made


def test_idle_used_and_overflow(make: Callable[..., Engine], gauges: Gauges) -> None:
    """Overflow counts as used while it lasts, and is gone when it is returned."""
    engine = make(pool_size=1, max_overflow=2)
    assert gauges() == (0, 0, 3)
    connections = [engine.connect() for _ in range(3)]
    assert gauges() == (0, 3, 3)
    connections.pop().close()
    assert gauges() == (1, 2, 3)
    for connection in connections:
        connection.close()
    assert gauges() == (1, 0, 3)


@pytest.mark.parametrize(
    ("options", "maximum"),
    [
        ({"pool_size": 4, "max_overflow": 0}, 4),
        ({"pool_size": 4, "max_overflow": -1}, math.inf),
        ({"pool_size": 0}, math.inf),
        ({"poolclass": NullPool}, math.inf),
        ({"poolclass": StaticPool}, 1),
        ({"poolclass": AssertionPool}, 1),
    ],
)
def test_maximum(make: Callable[..., Engine], gauges: Gauges, options: dict[str, Any], maximum: float) -> None:
    """The maximum is what the pool allows in all, +Inf where it sets no limit."""
    make(**options)
    assert gauges()[2] == maximum


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({"pool_size": 3, "max_overflow": 4}, 3),
        ({"pool_size": 0}, math.inf),
        ({"poolclass": NullPool}, 0),
        ({"poolclass": StaticPool}, 1),
    ],
)
def test_idle_connections_that_are_kept(
    make: Callable[..., Engine], total: Callable[..., float], options: dict[str, Any], most: float
) -> None:
    """A pool says how many idle connections it keeps at the most, and at least none."""
    make(**options)
    assert total("db_client_connection_idle_max") == most
    assert total("db_client_connection_idle_min") == 0


def test_a_null_pool_has_nothing_idle(make: Callable[..., Engine], gauges: Gauges) -> None:
    """Connections of a NullPool are used or closed."""
    engine = make(poolclass=NullPool)
    with engine.connect(), engine.connect():
        assert gauges()[:2] == (0, 2)
    assert gauges()[:2] == (0, 0)


def test_a_static_pool_has_one(make: Callable[..., Engine], gauges: Gauges) -> None:
    """The one connection of a StaticPool is used or idle."""
    engine = make(poolclass=StaticPool)
    with engine.connect():
        assert gauges()[:2] == (0, 1)
    assert gauges()[:2] == (1, 0)


def test_a_thread_has_its_own_in_memory(registry: CollectorRegistry, gauges: Gauges) -> None:
    """SQLite in memory has a connection for each thread that uses it."""
    engine = create_engine("sqlite://")
    instrument(engine, registry=registry)
    with engine.connect():
        assert gauges() == (0, 1, 5)
    assert gauges() == (1, 0, 5)
    engine.dispose()
    assert gauges() == (0, 0, 5)


async def test_an_async_engine(tmp_path: Path, registry: CollectorRegistry, gauges: Gauges) -> None:
    """The pool of an AsyncEngine is counted as any other."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}", pool_size=2, max_overflow=1)
    instrument(engine, registry=registry)
    async with engine.connect(), engine.connect():
        assert gauges() == (0, 2, 3)
    assert gauges() == (2, 0, 3)
    await engine.dispose()
    assert gauges() == (0, 0, 3)


def test_dispose_while_connections_are_used(make: Callable[..., Engine], gauges: Gauges) -> None:
    """What is out of a disposed pool is used until it is returned, and then belongs to no pool."""
    engine = make(pool_size=2, max_overflow=0)
    first, second = engine.connect(), engine.connect()
    second.close()
    assert gauges() == (1, 1, 2)
    engine.dispose()
    assert gauges() == (0, 1, 2)
    third = engine.connect()
    assert gauges() == (0, 2, 2)
    first.close()
    assert gauges() == (0, 1, 2)
    third.close()
    assert gauges() == (1, 0, 2)


def test_an_invalidated_connection_is_not_idle(make: Callable[..., Engine], gauges: Gauges) -> None:
    """The record of a dead connection waits in the queue, but no connection does."""
    engine = make()
    with engine.connect() as connection:
        connection.invalidate()
        assert gauges()[:2] == (0, 0)
        connection.rollback()
        connection.execute(text("SELECT 1"))
        assert gauges()[:2] == (0, 1)
    assert gauges()[:2] == (1, 0)


def test_a_detached_connection_is_not_the_pools(make: Callable[..., Engine], gauges: Gauges) -> None:
    """A connection that was taken out of the pool for good is no longer counted."""
    engine = make()
    raw = engine.raw_connection()
    assert gauges()[:2] == (0, 1)
    raw.detach()
    assert gauges()[:2] == (0, 0)
    raw.close()
    assert gauges()[:2] == (0, 0)


def test_a_connection_that_is_lost_comes_back(make: Callable[..., Engine], gauges: Gauges) -> None:
    """A connection that was never closed returns to the pool with the garbage."""
    engine = make()
    engine.connect()  # and forget it
    gc.collect()
    assert gauges()[:2] == (1, 0)


def test_failures_on_the_way_out_leave_nothing(make: Callable[..., Engine], gauges: Gauges) -> None:
    """Listeners that refuse a connection, when it is made or when it is taken, leave no connection behind."""
    engine = make()
    refusing = True

    def refuse(*_: object) -> None:
        if refusing:
            raise RuntimeError("refused")

    for name in ("connect", "checkout"):
        event.listen(engine, name, refuse)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="refused"):
                engine.connect()
        assert gauges()[:2] == (0, 0)
        event.remove(engine, name, refuse)
    refusing = False
    with engine.connect():
        assert gauges()[:2] == (0, 1)


def test_a_connection_from_before_is_known_when_it_is_used(
    tmp_path: Path, registry: CollectorRegistry, gauges: Gauges
) -> None:
    """An engine may have connected before it is instrumented."""
    engine = create_engine(f"sqlite:///{tmp_path / 'early.db'}")
    engine.connect().close()
    instrument(engine, registry=registry)
    with engine.connect():
        assert gauges()[:2] == (0, 1)
    assert gauges()[:2] == (1, 0)
    engine.dispose()


def test_a_pool_of_an_unknown_kind_has_no_maximum(make: Callable[..., Engine], gauges: Gauges) -> None:
    """Where nothing is known of the limit nothing is said of it, and connections are counted all the same."""
    engine = make(poolclass=Odd)
    with engine.connect():
        assert gauges() == (0, 1, None)
    assert gauges() == (0, 0, None)


def test_a_scrape_beside_threads(make: Callable[..., Engine], gauges: Gauges) -> None:
    """Scraping while threads open and close connections neither fails nor miscounts in the end."""
    engine = make(poolclass=NullPool)
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            engine.connect().close()

    threads = [threading.Thread(target=churn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        idle, used, _ = gauges()
        assert idle is not None
        assert used is not None
        assert 0 <= idle + used <= 4
    stop.set()
    for thread in threads:
        thread.join()
    assert gauges()[:2] == (0, 0)
