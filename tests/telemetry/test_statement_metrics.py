"""Each statement on SQLite, synchronous or asynchronous, is timed once, however it ends."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tablestakes.telemetry import instrument
from tests.telemetry.engine_labels import IN_A_FILE

Counts = Callable[[], dict[tuple[str, str, str], float]]

metadata = MetaData()
items = Table("items", metadata, Column("id", Integer, primary_key=True), Column("name", String(30), unique=True))
# The default of the key is a statement before the INSERT, in the execution context of the INSERT.
numbered = Table(
    "numbered",
    metadata,
    Column("id", Integer, primary_key=True, default=func.abs(-7)),
    Column("n", Integer),
    implicit_returning=False,
)


@pytest.fixture
def engine(tmp_path: Path, registry: CollectorRegistry) -> Iterator[Engine]:
    """A synchronous engine on a file, whose tables were made before it was instrumented."""
    made = create_engine(f"sqlite:///{tmp_path / 'sync.db'}")
    metadata.create_all(made)
    instrument(made, registry=registry)
    yield made
    made.dispose()


@pytest.fixture
async def aengine(tmp_path: Path, registry: CollectorRegistry) -> AsyncIterator[AsyncEngine]:
    """An asynchronous engine on a file, whose tables were made before it was instrumented."""
    made = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'async.db'}")
    async with made.begin() as connection:
        await connection.run_sync(metadata.create_all)
    instrument(made, registry=registry)
    yield made
    await made.dispose()


def test_success_is_timed(engine: Engine, counts: Counts, registry: CollectorRegistry) -> None:
    """Each statement is counted under its verb and its table, with the labels of its engine."""
    start = time.perf_counter()
    with engine.begin() as connection:
        connection.execute(insert(items).values(name="a"))
        connection.execute(select(items))
        connection.execute(select(items))
        connection.execute(update(items).values(name="b"))
    elapsed = time.perf_counter() - start
    assert counts() == {("INSERT", "items", ""): 1, ("SELECT", "items", ""): 2, ("UPDATE", "items", ""): 1}
    labels = IN_A_FILE | {"db_operation_name": "SELECT", "db_collection_name": "items", "error_type": ""}
    assert registry.get_sample_value("db_client_operation_duration_seconds_count", labels) == 2
    total = registry.get_sample_value("db_client_operation_duration_seconds_sum", labels)
    assert total is not None
    assert 0 < total < elapsed
    assert registry.get_sample_value("db_client_operation_duration_seconds_bucket", labels | {"le": "+Inf"}) == 2


async def test_success_is_timed_on_an_async_engine(aengine: AsyncEngine, counts: Counts) -> None:
    """Statements of an AsyncEngine are counted like those of a synchronous engine."""
    async with aengine.begin() as connection:
        await connection.execute(insert(items).values(name="a"))
        await connection.execute(select(items))
    assert counts() == {("INSERT", "items", ""): 1, ("SELECT", "items", ""): 1}


def test_failure_is_timed_once_with_its_name(engine: Engine, counts: Counts) -> None:
    """A statement that violates a constraint is counted once, under SQLite's name of the error."""
    with engine.begin() as connection:
        connection.execute(insert(items).values(name="a"))
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(insert(items).values(name="a"))
    assert counts() == {("INSERT", "items", ""): 1, ("INSERT", "items", "SQLITE_CONSTRAINT_UNIQUE"): 1}


async def test_failure_on_an_async_engine_carries_the_same_name(aengine: AsyncEngine, counts: Counts) -> None:
    """The errors of the asynchronous driver have the same names as those of the synchronous one."""
    async with aengine.begin() as connection:
        await connection.execute(insert(items).values(name="a"))
    with pytest.raises(IntegrityError):
        async with aengine.begin() as connection:
            await connection.execute(insert(items).values(name="a"))
    assert counts()["INSERT", "items", "SQLITE_CONSTRAINT_UNIQUE"] == 1


def test_a_failure_leaves_no_timer_for_the_next_statement(engine: Engine, counts: Counts) -> None:
    """A failed statement does not affect the timing of the next one."""
    with engine.connect() as connection:
        for _ in range(3):
            with pytest.raises(DBAPIError):
                connection.execute(text("SELECT nothing FROM nowhere"))
            connection.execute(select(items))
    assert counts() == {("SELECT", "raw", "SQLITE_ERROR"): 3, ("SELECT", "items", ""): 3}


async def test_cancelled_is_timed(aengine: AsyncEngine, counts: Counts) -> None:
    """A statement whose task is cancelled is counted as cancelled, and not as a success."""
    started, release, sync = asyncio.Event(), threading.Event(), aengine.sync_engine
    loop = asyncio.get_running_loop()

    def block() -> int:
        loop.call_soon_threadsafe(started.set)
        release.wait(30)
        return 1

    @event.listens_for(sync, "checkout")
    def add_function(dbapi_connection: Any, *_: object) -> None:
        dbapi_connection.create_function("block", 0, block)

    async def run() -> None:
        async with aengine.connect() as connection:
            await connection.execute(text("SELECT block()"))

    task = asyncio.create_task(run())
    await started.wait()
    task.cancel()
    # The function cannot be interrupted, and closing the connection waits until it returns.
    loop.call_later(0.05, release.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counts() == {("SELECT", "raw", "cancelled"): 1}


def test_timed_out_is_timed(engine: Engine, counts: Counts) -> None:
    """A statement for which the driver raises TimeoutError is counted as `timeout`."""

    @event.listens_for(engine, "do_execute")
    def give_up(*_: object) -> None:
        raise TimeoutError

    with engine.connect() as connection, pytest.raises(TimeoutError):
        connection.execute(select(items))
    assert counts() == {("SELECT", "items", "timeout"): 1}


def test_an_error_without_a_code_has_the_name_of_its_class(engine: Engine, counts: Counts) -> None:
    """An error with neither an SQLSTATE nor a name of SQLite is counted under the name of its class."""

    @event.listens_for(engine, "do_execute")
    def give_up(*_: object) -> None:
        raise ConnectionResetError

    with engine.connect() as connection, pytest.raises(ConnectionResetError):
        connection.execute(select(items))
    assert counts() == {("SELECT", "items", "ConnectionResetError"): 1}


def test_a_connection_with_its_own_listener_is_counted(engine: Engine, counts: Counts) -> None:
    """A listener on a single Connection does not keep its statements from being counted."""
    with engine.connect() as connection:
        event.listen(connection, "before_cursor_execute", lambda *_: None)
        connection.exec_driver_sql("SELECT 1")
        connection.exec_driver_sql("SELECT 1")
    assert counts() == {("SELECT", "raw", ""): 2}


def test_a_later_listener_may_send_the_statement(engine: Engine, counts: Counts) -> None:
    """A later listener of do_execute is called as usual, and a statement that it sends instead is timed."""
    called = []

    @event.listens_for(engine, "do_execute")
    def other(cursor: DBAPICursor, _statement: str, _parameters: object, _context: object) -> bool:
        called.append("other")
        cursor.execute("SELECT 7")
        return True

    @event.listens_for(engine, "do_execute")
    def last(*_: object) -> None:
        called.append("last")

    with engine.connect() as connection:
        assert connection.scalar(select(literal(1))) == 7
    assert called == ["other"]
    assert counts() == {("SELECT", "", ""): 1}


def test_executemany_is_one_batch(engine: Engine, counts: Counts) -> None:
    """An executemany with many sets of parameters is one BATCH statement."""
    with engine.begin() as connection:
        connection.execute(insert(items), [{"name": "a"}, {"name": "b"}, {"name": "c"}])
        connection.exec_driver_sql("UPDATE items SET name = ? WHERE id = ?", [("x", 1), ("y", 2)])
    assert counts() == {("BATCH INSERT", "items", ""): 1, ("BATCH UPDATE", "raw", ""): 1}


def test_insertmanyvalues_are_as_many_statements_as_are_sent(engine: Engine, counts: Counts) -> None:
    """An INSERT of five rows in pages of two is three INSERT statements, and no batch."""
    with engine.begin() as connection:
        connection.execute(
            insert(items).returning(items.c.id),
            [{"name": name} for name in "abcde"],
            execution_options={"insertmanyvalues_page_size": 2},
        )
    assert counts() == {("INSERT", "items", ""): 3}


def test_a_failed_page_of_insertmanyvalues_is_one_failure(engine: Engine, counts: Counts) -> None:
    """If a page fails, the pages before it are successes, and those after it are never sent."""
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(
            insert(items).returning(items.c.id),
            [{"name": name} for name in "abccde"],
            execution_options={"insertmanyvalues_page_size": 2},
        )
    # a b | c c
    assert counts() == {("INSERT", "items", ""): 1, ("INSERT", "items", "SQLITE_CONSTRAINT_UNIQUE"): 1}


def test_a_default_that_needs_a_statement_is_not_the_insert(engine: Engine, counts: Counts) -> None:
    """A default that is executed in the context of its INSERT is timed as a SELECT of its own."""
    with engine.begin() as connection:
        connection.execute(insert(numbered).values(n=1))
    assert counts() == {("SELECT", "raw", ""): 1, ("INSERT", "numbered", ""): 1}


def test_savepoints_are_statements_of_no_table(engine: Engine, counts: Counts) -> None:
    """SAVEPOINT, ROLLBACK TO and RELEASE are timed as statements; BEGIN, COMMIT and ROLLBACK are not."""
    with engine.begin() as connection:
        with connection.begin_nested():
            connection.execute(insert(items).values(name="a"))
        connection.begin_nested().rollback()
    assert counts() == {("OTHER", "", ""): 4, ("INSERT", "items", ""): 1}


def test_an_error_while_fetching_is_not_a_second_statement(engine: Engine, counts: Counts) -> None:
    """A statement whose rows fail to be fetched remains one successful statement."""
    overflow = text("SELECT 1 UNION ALL SELECT abs(-9223372036854775807 - 1)")
    with engine.connect() as connection, pytest.raises(DBAPIError):
        connection.execute(overflow).all()
    assert counts() == {("SELECT", "raw", ""): 1}


def test_a_statement_that_is_never_sent_is_not_counted(engine: Engine, counts: Counts) -> None:
    """A statement whose parameters cannot be bound is not counted."""
    with engine.connect() as connection, pytest.raises(StatementError):
        connection.execute(select(items).where(items.c.id == text(":id")), {})
    assert counts() == {}


def test_statements_without_a_context_are_timed(engine: Engine, counts: Counts) -> None:
    """A statement without an execution context, as some dialects send, is timed like any other."""
    with engine.connect() as connection:
        raw = connection.connection.cursor()
        for statement in ("SELECT 1", "SELECT 2"):
            connection._cursor_execute(raw, statement, ())
        with pytest.raises(DBAPIError):
            connection._cursor_execute(raw, "SELECT nothing", ())
        connection.execute(select(items))
    assert counts() == {
        ("SELECT", "raw", ""): 2,
        ("SELECT", "raw", "SQLITE_ERROR"): 1,
        ("SELECT", "items", ""): 1,
    }


def test_threads_lose_no_count(engine: Engine, counts: Counts) -> None:
    """A synchronous engine that many threads use at once counts every statement."""

    def run() -> None:
        with engine.connect() as connection:
            for _ in range(50):
                connection.execute(select(items))

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(run) for _ in range(8)]:
            done.result()
    assert counts() == {("SELECT", "items", ""): 400}


def test_the_number_of_series_is_bounded(engine: Engine, counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements beyond the maximum number of series are counted under `_OTHER`, with their verb."""
    monkeypatch.setattr("tablestakes.telemetry.engine.series.MAX_SERIES", 2)
    with engine.connect() as connection:
        for name in ("sqlite_master", "items", "numbered", "items"):
            connection.execute(select(Table(name, MetaData(), Column("rowid", Integer))))
        with pytest.raises(DBAPIError):
            connection.execute(select(Table("missing", MetaData(), Column("rowid", Integer))))
    assert counts() == {
        ("SELECT", "sqlite_master", ""): 1,
        ("SELECT", "items", ""): 2,
        ("SELECT", "_OTHER", ""): 1,
        ("SELECT", "_OTHER", "_OTHER"): 1,
    }
