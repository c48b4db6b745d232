"""The pool gauges count the open connections correctly, whatever happens to them."""

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
from tests.telemetry.engine_labels import IN_A_FILE

Gauges = Callable[[], tuple[float | None, float | None, float | None]]


class Odd(Pool):
    """A pool that is not one of SQLAlchemy's."""

    def _do_get(self) -> ConnectionPoolEntry:
        return self._create_connection()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        record.close()

    def dispose(self) -> None:
        """Do nothing: there are no idle connections."""

    def recreate(self) -> "Odd":
        """Return another pool like this one."""
        return Odd(self._creator, dialect=self._dialect, _dispatch=self.dispatch)


@pytest.fixture
def gauges(registry: CollectorRegistry) -> Gauges:
    """A function that returns the gauges idle, used and max."""

    def ask() -> tuple[float | None, float | None, float | None]:
        count, state = "db_client_connection_count", "db_client_connection_state"
        return (
            registry.get_sample_value(count, IN_A_FILE | {state: "idle"}),
            registry.get_sample_value(count, IN_A_FILE | {state: "used"}),
            registry.get_sample_value("db_client_connection_max", IN_A_FILE),
        )

    return ask


@pytest.fixture
def make(tmp_path: Path, registry: CollectorRegistry) -> Iterator[Callable[..., Engine]]:
    """A function that makes an instrumented engine on a file."""
    with ExitStack() as stack:

        def made(**options: Any) -> Engine:
            engine = create_engine(f"sqlite:///{tmp_path / 'pool.db'}", **options)
            stack.callback(engine.dispose)
            instrument(engine, registry=registry)
            return engine

        yield made


def test_idle_used_and_overflow(make: Callable[..., Engine], gauges: Gauges) -> None:
    """An overflow connection counts as used until it is returned, and is then closed."""
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
    """The maximum is the number of connections that the pool allows, +Inf if it has no limit."""
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
    """A pool keeps at most its size of idle connections, and at least none."""
    make(**options)
    assert total("db_client_connection_idle_max") == most
    assert total("db_client_connection_idle_min") == 0


def test_a_null_pool_has_nothing_idle(make: Callable[..., Engine], gauges: Gauges) -> None:
    """Connections of a NullPool are used, and never idle."""
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
    """The pool of SQLite in memory, with a connection for each thread, is counted like any other."""
    engine = create_engine("sqlite://")
    instrument(engine, registry=registry)
    with engine.connect():
        assert gauges() == (0, 1, 5)
    assert gauges() == (1, 0, 5)
    engine.dispose()
    assert gauges() == (0, 0, 5)


async def test_an_async_engine(tmp_path: Path, registry: CollectorRegistry, gauges: Gauges) -> None:
    """The pool of an AsyncEngine is counted like any other."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}", pool_size=2, max_overflow=1)
    instrument(engine, registry=registry)
    async with engine.connect(), engine.connect():
        assert gauges() == (0, 2, 3)
    assert gauges() == (2, 0, 3)
    await engine.dispose()
    assert gauges() == (0, 0, 3)


def test_dispose_while_connections_are_used(make: Callable[..., Engine], gauges: Gauges) -> None:
    """A connection that is checked out of a disposed pool counts as used until it is returned."""
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
    """An invalidated connection is neither idle nor used, although its record is in the queue."""
    engine = make()
    with engine.connect() as connection:
        connection.invalidate()
        assert gauges()[:2] == (0, 0)
        connection.rollback()
        connection.execute(text("SELECT 1"))
        assert gauges()[:2] == (0, 1)
    assert gauges()[:2] == (1, 0)


def test_a_detached_connection_is_not_counted(make: Callable[..., Engine], gauges: Gauges) -> None:
    """A detached connection is no longer counted."""
    engine = make()
    raw = engine.raw_connection()
    assert gauges()[:2] == (0, 1)
    raw.detach()
    assert gauges()[:2] == (0, 0)
    raw.close()
    assert gauges()[:2] == (0, 0)


def test_a_connection_that_is_lost_comes_back(make: Callable[..., Engine], gauges: Gauges) -> None:
    """A connection that was never closed returns to the pool when it is garbage-collected."""
    engine = make()
    engine.connect()  # and drop it
    gc.collect()
    assert gauges()[:2] == (1, 0)


def test_a_refused_checkout_leaves_no_connection(make: Callable[..., Engine], gauges: Gauges) -> None:
    """If a listener refuses a connection at its connect or checkout, no connection is counted."""
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


def test_an_older_connection_is_counted_when_it_is_used(
    tmp_path: Path, registry: CollectorRegistry, gauges: Gauges
) -> None:
    """A connection that was made before the instrumentation is counted from its next checkout."""
    engine = create_engine(f"sqlite:///{tmp_path / 'early.db'}")
    engine.connect().close()
    instrument(engine, registry=registry)
    with engine.connect():
        assert gauges()[:2] == (0, 1)
    assert gauges()[:2] == (1, 0)
    engine.dispose()


def test_a_pool_of_an_unknown_kind_has_no_maximum(make: Callable[..., Engine], gauges: Gauges) -> None:
    """A pool of an unknown kind has no maximum, but its connections are counted."""
    engine = make(poolclass=Odd)
    with engine.connect():
        assert gauges() == (0, 1, None)
    assert gauges() == (0, 0, None)


def test_a_scrape_beside_threads(make: Callable[..., Engine], gauges: Gauges) -> None:
    """A scrape while threads open and close connections does not fail, and the final counts are right."""
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
        # A thread may be seen with the connection that it is closing, and again with its next one.
        assert 0 <= idle + used <= 2 * len(threads)
    stop.set()
    for thread in threads:
        thread.join()
    assert gauges()[:2] == (0, 0)
