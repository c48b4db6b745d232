"""An upgrade of a library that loses or changes a private name fails here, and says which."""

import ast
import asyncio
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from prometheus_client import utils, validation
from sqlalchemy import Engine, create_engine, event, log, make_url, select, text
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, QueuePool
from sqlalchemy.util import queue

import tablestakes.telemetry
from tablestakes.telemetry import AsyncTimedQueuePool, TimedQueuePool, internals

PACKAGE = Path(tablestakes.telemetry.__file__).parent


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine whose pool has one connection."""
    made = create_engine(f"sqlite:///{tmp_path / 'internals.db'}", pool_size=1, max_overflow=0, pool_timeout=0.01)
    yield made
    made.dispose()


def require(owner: object, name: str, function: str) -> None:
    """Fail if an object has lost a name."""
    assert hasattr(owner, name), f"{owner} has no {name} any more, on which internals.{function} relies"


def test_has_events_switches_connection_events(engine: Engine) -> None:
    """`Engine._has_events` is set by event.listen, and an event without it is called only if it needs no flag."""
    require(engine, "_has_events", "connection_events_unchanged")
    calls: list[str] = []
    with internals.connection_events_unchanged(engine):
        event.listen(engine, "before_cursor_execute", lambda *_: calls.append("before_cursor_execute"))
        event.listen(engine, "engine_disposed", lambda *_: calls.append("engine_disposed"))
        assert engine._has_events, "event.listen sets Engine._has_events no more: see connection_events_unchanged"
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    engine.dispose()
    assert calls == ["engine_disposed"], "Engine._has_events no longer decides which Connection events are called"


def test_a_connection_of_the_dialect_shuts_listeners_out(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Connection on which the dialect asks a new server has `_has_events` False, and no other Connection has."""
    seen: list[object] = []
    initialize = engine.dialect.initialize

    def note(connection: Any) -> None:
        seen.append(vars(connection).get(internals.CONNECTION_HAS_EVENTS))
        initialize(connection)

    monkeypatch.setattr(engine.dialect, "initialize", note)
    with engine.connect() as connection:
        seen.append(vars(connection).get(internals.CONNECTION_HAS_EVENTS))
        event.listen(connection, "before_cursor_execute", lambda *_: None)
        seen.append(vars(connection).get(internals.CONNECTION_HAS_EVENTS))
    assert seen == [False, None, True], "the flag Connection._has_events no longer marks questions of the dialect"


async def test_a_server_side_cursor_is_marked(postgres_url: str) -> None:
    """`ExecutionContext._is_server_side` is True for a stream, and False for other statements."""
    engine = create_async_engine(postgres_url)
    marks: list[object] = []

    def note(
        _connection: object, _cursor: object, _sql: object, _values: object, context: Any, _many: object
    ) -> None:
        marks.append(getattr(context, internals.IS_SERVER_SIDE, "missing"))

    event.listen(engine.sync_engine, "after_cursor_execute", note)
    async with engine.connect() as connection:
        await (await connection.stream(text("SELECT 1"))).all()
        await connection.execute(text("SELECT 1"))
    await engine.dispose()
    assert marks == [True, False], "ExecutionContext._is_server_side no longer tells server-side cursors apart"


def test_a_derived_engine_leads_to_its_root(engine: Engine) -> None:
    """`OptionEngine._proxied` is the parent of a derived engine, and an engine that is not derived has none."""
    derived = engine.execution_options(isolation_level="AUTOCOMMIT")
    require(derived, "_proxied", "root_engine")
    assert internals.root_engine(derived.execution_options(logging_token="x")) is engine, (
        "OptionEngine._proxied no longer leads from a derived engine to its parent"
    )
    assert internals.root_engine(engine) is engine


def test_listeners_of_the_dialect_are_listed(engine: Engine) -> None:
    """`dispatch.<event>.listeners` has the functions given to event.listen in their order, also those of later."""
    dispatch = engine.dialect.dispatch
    listeners_of = internals.listeners_getter("do_execute")

    def first(*_: object) -> None: ...
    def second(*_: object) -> None: ...

    event.listen(engine, "do_execute", first)
    require(dispatch.do_execute, "listeners", "listeners_getter")
    event.listen(engine, "do_execute", second)
    message = "dispatch.do_execute.listeners is no longer the list of the listeners in their order"
    assert list(listeners_of(dispatch)) == [first, second], message
    assert listeners_of(dispatch)[-1] is second, message


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"pool_size": 2, "max_overflow": 3}, 3), ({"max_overflow": -1}, -1), ({"pool_size": 0}, -1)],
)
def test_the_maximum_overflow_is_the_pools(options: dict[str, int], expected: int) -> None:
    """`QueuePool._max_overflow` is the limit that a pool was given, and -1 without a limit."""
    pool = QueuePool(lambda: None, **options)  # type: ignore[arg-type]
    require(pool, "_max_overflow", "max_overflow")
    assert internals.max_overflow(pool) == expected, "QueuePool._max_overflow is no longer the limit of a pool"


def test_the_invalidation_of_a_pool_has_a_time(engine: Engine) -> None:
    """After InvalidatePoolError, `Pool._invalidate_time` is later than `starttime` of the pool's other records."""
    two = create_engine(engine.url, pool_size=2)
    records: list[ConnectionPoolEntry] = []
    event.listen(two, "connect", lambda _, record: records.append(record))
    first, second = two.connect(), two.connect()
    require(two.pool, "_invalidate_time", "is_invalidated_with_its_pool")
    require(records[0], "starttime", "is_invalidated_with_its_pool")
    assert not internals.is_invalidated_with_its_pool(two.pool, records[0])
    first.close()
    second.close()
    # SQLAlchemy compares times of time.time(), whose resolution depends on the operating system.
    before = time.time()
    while time.time() == before:
        time.sleep(0)
    outcomes: list[bool] = []

    @event.listens_for(two, "close")
    def note(_driver: object, closed: ConnectionPoolEntry) -> None:
        outcomes.append(internals.is_invalidated_with_its_pool(two.pool, closed))

    errors = iter([InvalidatePoolError("the server went away")])

    @event.listens_for(two, "checkout")
    def refuse(*_: object) -> None:
        for error in errors:
            raise error

    with two.connect(), two.connect():
        # The first was closed by the error itself, the second because it is older than the invalidation.
        assert outcomes == [False, True], "Pool._invalidate_time is no longer later than starttime of old records"
    two.dispose()


def test_a_pool_makes_its_queue_of_the_class(engine: Engine) -> None:
    """A queue of `_queue_class` is `_pool`, and each checkout takes its connection out of it with `get`."""
    gets: list[bool] = []

    class NotedQueue(internals.Queue[ConnectionPoolEntry]):
        """Notes its calls."""

        def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
            gets.append(block)
            return super().get(block, timeout)

    class NotedPool(internals.HookedQueuePool, queue_class=NotedQueue):
        """Has such a queue."""

    require(QueuePool, "_queue_class", "HookedQueuePool")
    noted = create_engine(engine.url, poolclass=NotedPool, pool_size=1, max_overflow=0)
    pool: Any = noted.pool
    require(pool, "_pool", "HookedQueuePool")
    assert isinstance(pool.queue, NotedQueue), "QueuePool._queue_class no longer makes QueuePool._pool"
    noted.connect().close()
    noted.connect().close()
    noted.dispose()
    # The pool may wait once it has all its connections. dispose() empties the queue without waiting.
    assert gets[:2] == [False, True], "a checkout no longer calls get(wait, timeout) of its queue"
    assert set(gets[2:]) == {False}, "dispose() no longer calls get(False) of its queue"


@pytest.mark.parametrize("name", ["Queue", "AsyncAdaptedQueue", "QueueCommon", "Empty"])
def test_the_queues_are_where_they_were(name: str) -> None:
    """`sqlalchemy.util.queue` has the queues of the pools, and the error of a wait in vain."""
    require(queue, name, name)
    assert getattr(internals, name) is getattr(queue, name)
    assert issubclass(QueuePool._queue_class, queue.Queue), "QueuePool has another queue"
    assert issubclass(AsyncAdaptedQueuePool._queue_class, queue.AsyncAdaptedQueue), "its async kin has another"


def test_hooks_are_called_for_new_connections_and_timeouts(engine: Engine) -> None:
    """`_create_connection` is called for an empty pool, and a timeout passes through `_do_get`, once each."""
    calls: list[str] = []

    class NotedPool(internals.HookedQueuePool):
        """Notes its hooks."""

        def on_create(self) -> None:
            calls.append("create")

        def on_timeout(self, error: PoolTimeoutError) -> None:
            calls.append(type(error).__name__)

    require(QueuePool, "_create_connection", "HookedQueuePool")
    require(QueuePool, "_do_get", "HookedQueuePool")
    noted = create_engine(engine.url, poolclass=NotedPool, pool_size=1, max_overflow=0, pool_timeout=0.01)
    with noted.connect(), pytest.raises(PoolTimeoutError):
        noted.connect()
    with noted.connect():
        pass
    noted.dispose()
    assert calls == ["create", "TimeoutError"], (
        "QueuePool calls _create_connection or _do_get differently: see internals.HookedQueuePool"
    )


@pytest.mark.parametrize(
    ("pool", "stands_for"), [(TimedQueuePool, QueuePool), (AsyncTimedQueuePool, AsyncAdaptedQueuePool)]
)
def test_a_timed_pool_logs_as_the_pool_it_stands_for(pool: type[QueuePool], stands_for: type[QueuePool]) -> None:
    """`_sqla_logger_namespace` gives a timed pool the logger of SQLAlchemy's own pool."""
    names = {log._qual_logger_name_for_cls(each) for each in (pool, stands_for)}
    assert names == {f"sqlalchemy.pool.impl.{stands_for.__name__}"}, (
        "_sqla_logger_namespace no longer names the logger of a pool"
    )


def test_a_compiled_construct_keeps_an_attribute() -> None:
    """A compiled construct accepts an attribute, on which the statement's info is kept."""
    compiled: Any = select(1).compile()
    compiled.tablestakes_info = 7
    assert compiled.tablestakes_info == 7


@pytest.mark.parametrize(
    ("name", "legacy"), [("le", True), ("_x9", True), ("a:b", False), ("9a", False), ("é", False), ("", False)]
)
def test_label_names_that_need_no_quotes(name: str, legacy: bool) -> None:
    """`_is_valid_legacy_labelname` is true for ASCII identifiers only."""
    require(validation, "_is_valid_legacy_labelname", "is_unquoted_label_name")
    assert internals.is_unquoted_label_name(name) is legacy, (
        f"prometheus_client.validation._is_valid_legacy_labelname judges {name!r} differently"
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [(1.0, "1.0"), (0.0005, "0.0005"), (1e6, "1e+06"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN")],
)
def test_numbers_are_written_as_in_go(value: float, written: str) -> None:
    """`floatToGoString` writes numbers as Prometheus itself does."""
    require(utils, "floatToGoString", "format_float")
    assert internals.format_float(value) == written, "prometheus_client.utils.floatToGoString writes differently"


def private_names(module: Path) -> Iterator[str]:
    """Yield the private names of other objects that a module uses."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            names = [] if own else [node.attr]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"getattr", "setattr"}
        ):
            names = [str(each.value) for each in node.args if isinstance(each, ast.Constant)]
        else:
            continue
        yield from (
            f"{module.name}:{node.lineno} {name}"
            for name in names
            if name.startswith("_") and not name.startswith("__")
        )


def test_no_other_module_uses_a_private_name() -> None:
    """Outside of `internals.py`, no module of the package uses a private name of another object or module."""
    modules = [module for module in PACKAGE.rglob("*.py") if module.name != "internals.py"]
    assert len(modules) > 30
    assert [name for module in modules for name in private_names(module)] == []
    assert list(private_names(PACKAGE / "internals.py"))


async def test_a_wait_for_a_connection_is_a_get_of_the_asynchronous_queue(tmp_path: Path) -> None:
    """A checkout of an AsyncEngine that waits does so in `AsyncAdaptedQueue.get`, also if it is cancelled."""
    calls: list[str] = []

    class NotedQueue(internals.AsyncAdaptedQueue[ConnectionPoolEntry]):
        """Notes how its calls end."""

        def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
            try:
                return super().get(block, timeout)
            except BaseException as error:
                calls.append(type(error).__name__)
                raise

    class NotedPool(internals.HookedQueuePool, AsyncAdaptedQueuePool, queue_class=NotedQueue):
        """Has such a queue."""

    engine = create_async_engine(
        f"sqlite+aiosqlite:///{tmp_path / 'waits.db'}", poolclass=NotedPool, pool_size=1, max_overflow=1
    )
    async with engine.connect(), engine.connect():
        assert calls == ["Empty", "Empty"], "a checkout no longer tries AsyncAdaptedQueue.get(False) first"
        waiting = asyncio.create_task(_connect(engine))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])
    await engine.dispose()
    assert calls[2] == "CancelledError", "a checkout no longer waits in AsyncAdaptedQueue.get"


async def _connect(engine: AsyncEngine) -> None:
    async with engine.connect():
        pass


def test_the_dialect_does_what_its_events_do(engine: Engine) -> None:
    """The dialect has a method for each event that sends a statement, which a listener calls in its place."""
    for name in ("do_execute", "do_executemany", "do_execute_no_params"):
        require(engine.dialect, name, "listeners_getter")
        require(Dialect, name, "listeners_getter")
        require(engine.dialect.dispatch, name, "listeners_getter")


# The goodbye of a server that is shut down, as it sends it to an idle connection: an ErrorResponse, without more.
_FIELDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
_GOODBYE = b"E" + (len(_FIELDS) + 4).to_bytes(4) + _FIELDS


@pytest.mark.parametrize(
    ("how", "raised"),
    [
        ("before", "InterfaceError"),
        ("during", "ConnectionDoesNotExistError"),
        ("after the goodbye", "InternalClientError"),
    ],
)
async def test_asyncpg_says_that_a_connection_is_lost(postgres_url: str, how: str, raised: str) -> None:
    """Each of asyncpg's exceptions for a lost connection is recognized, and its other exceptions are not."""
    connection = await asyncpg.connect(make_url(postgres_url).set(drivername="postgresql").render_as_string(False))
    with pytest.raises(asyncpg.PostgresSyntaxError) as ordinary:
        await connection.execute("SELEKT 1")
    assert not internals.says_connection_is_lost(ordinary.value)
    statement = "SELECT 1"
    if how == "before":
        connection.terminate()
    elif how == "during":
        statement = "SELECT pg_terminate_backend(pg_backend_pid())"
    else:
        require(connection, "_protocol", "says_connection_is_lost")
        connection._protocol.data_received(_GOODBYE)
    with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresError, asyncpg.InternalClientError)) as lost:
        await connection.fetch(statement)
    assert type(lost.value).__name__ == raised
    assert internals.says_connection_is_lost(lost.value), f"asyncpg says it in other words: {lost.value}"
    connection.terminate()
