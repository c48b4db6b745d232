"""Statements on PostgreSQL through asyncpg are timed, and their errors are named by SQLSTATE."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Column, Integer, MetaData, Sequence, String, Table, event, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tablestakes.telemetry import RpcMetrics, enter, instrument

Counts = Callable[[], dict[tuple[str, str, str], float]]
By = Callable[..., dict[tuple[str, ...], float]]
Total = Callable[..., float]

metadata = MetaData()
items = Table(
    "telemetry_items",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(30), unique=True),
)
drawn = Table(
    "telemetry_drawn",
    metadata,
    Column("id", Integer, Sequence("telemetry_tickets", metadata=metadata), primary_key=True),
    Column("n", Integer),
    implicit_returning=False,
)


@pytest.fixture
async def engine(postgres_url: str, registry: CollectorRegistry) -> AsyncIterator[AsyncEngine]:
    """An engine with tables of its own, which are dropped at the end."""
    made = create_async_engine(postgres_url)
    async with made.begin() as connection:
        await connection.run_sync(metadata.create_all)
    instrument(made, registry=registry)
    yield made
    async with made.begin() as connection:
        await connection.run_sync(metadata.drop_all)
    await made.dispose()


async def test_success_is_timed(engine: AsyncEngine, counts: Counts, registry: CollectorRegistry) -> None:
    """A statement is counted under its verb and its table, with `postgresql` as the system."""
    async with engine.begin() as connection:
        await connection.execute(insert(items).values(name="a"))
        await connection.execute(select(items))
        await connection.execute(text("SELECT 1"))
    assert counts() == {
        ("INSERT", "telemetry_items", ""): 1,
        ("SELECT", "telemetry_items", ""): 1,
        ("SELECT", "raw", ""): 1,
    }
    systems = {
        sample.labels.get("db_system_name", "postgresql") for f in registry.collect() for sample in f.samples
    }
    assert systems == {"postgresql"}


async def test_failure_carries_the_sqlstate(engine: AsyncEngine, counts: Counts) -> None:
    """A unique violation is counted under `23505`."""
    for expected in (None, "23505"):
        try:
            async with engine.begin() as connection:
                await connection.execute(insert(items).values(name="a"))
        except IntegrityError:
            assert expected
    assert counts() == {("INSERT", "telemetry_items", ""): 1, ("INSERT", "telemetry_items", "23505"): 1}


async def test_cancelled_is_timed(engine: AsyncEngine, counts: Counts) -> None:
    """A statement that is cancelled while the server executes it is counted as `cancelled`."""
    task = await _sleeping(engine)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counts() == {("SELECT", "raw", "cancelled"): 1}


async def test_timed_out_by_the_driver_is_timed(
    postgres_url: str, registry: CollectorRegistry, counts: Counts
) -> None:
    """A statement that exceeds asyncpg's command_timeout is counted as `timeout`."""
    # The timeout also applies to the statements of the connect, which are quick even on a busy machine.
    engine = create_async_engine(postgres_url, connect_args={"command_timeout": 1.5})
    instrument(engine, registry=registry)
    with pytest.raises(TimeoutError):
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(30)"))
    await engine.dispose()
    assert counts() == {("SELECT", "raw", "timeout"): 1}


async def test_timed_out_by_the_server_carries_the_sqlstate(engine: AsyncEngine, counts: Counts) -> None:
    """A statement that exceeds statement_timeout is counted under `57014`."""
    async with engine.connect() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 50"))
        with pytest.raises(DBAPIError):
            await connection.execute(text("SELECT pg_sleep(30)"))
    assert counts() == {("OTHER", "raw", ""): 1, ("SELECT", "raw", "57014"): 1}


async def test_executemany_and_insertmanyvalues(engine: AsyncEngine, counts: Counts) -> None:
    """An executemany is one batch; each page of insertmanyvalues is an INSERT statement."""
    async with engine.begin() as connection:
        await connection.execute(insert(items), [{"name": name} for name in "abc"])
        await connection.execute(
            insert(items).returning(items.c.id),
            [{"name": name} for name in "defgh"],
            execution_options={"insertmanyvalues_page_size": 2},
        )
    assert counts() == {("BATCH INSERT", "telemetry_items", ""): 1, ("INSERT", "telemetry_items", ""): 3}


async def test_a_sequence_is_not_the_insert(engine: AsyncEngine, counts: Counts) -> None:
    """A sequence that is read before an INSERT, in its context, is a SELECT of its own."""
    async with engine.begin() as connection:
        await connection.execute(insert(drawn).values(n=1))
    assert counts() == {("SELECT", "raw", ""): 1, ("INSERT", "telemetry_drawn", ""): 1}


async def test_a_stream_that_fails_is_not_a_second_statement(engine: AsyncEngine, counts: Counts) -> None:
    """An error in a later row of a server-side cursor is not counted as a second statement."""
    failing = text("SELECT 1 / (900 - n) FROM generate_series(1, 1000) AS n")
    async with engine.connect() as connection:
        rows = await connection.stream(failing)
        # SQLAlchemy does not wrap asyncpg's exceptions in fetches of a server-side cursor.
        with pytest.raises(Exception, match="division by zero"):
            await rows.all()
    assert counts() == {("SELECT", "raw", ""): 1}


async def test_a_connection_lost_to_cancellation_is_not_idle(engine: AsyncEngine, by: By) -> None:
    """A connection that was lost to a cancellation is not counted as idle, although its record is in the queue."""
    task = await _sleeping(engine)
    count = ("db_client_connection_count", "db_client_connection_state")
    assert by(*count) == {("used",): 1}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert by(*count) == {}


async def _sleeping(engine: AsyncEngine) -> asyncio.Task[None]:
    """Start a statement that takes 30 seconds, and return after it was sent."""
    sent = asyncio.Event()

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def note(*_: object) -> None:
        sent.set()

    async def run() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(30)"))

    task = asyncio.create_task(run())
    await sent.wait()
    await asyncio.sleep(0.05)
    return task


async def test_a_stream_is_timed_fetch_by_fetch(
    engine: AsyncEngine, registry: CollectorRegistry, total: Total
) -> None:
    """Each fetch of a server-side cursor is timed and charged to the RPC that fetches."""
    fetch, phase = "db_client_fetch_seconds", "rpc_db_seconds_total"
    method = RpcMetrics(registry).method("shop.v1.Shop", "Watch")
    slow_rows = text("SELECT n, pg_sleep(0.01) FROM generate_series(1, 5) AS n")

    async def serve() -> tuple[list[int], float]:
        account = enter(method)
        async with engine.connect() as connection:
            start = time.perf_counter()
            result = await connection.stream(slow_rows, execution_options={"yield_per": 1})
            sending = time.perf_counter() - start
            numbers = [number async for number, _ in result]
        method.finish(account, "OK")
        return numbers, sending

    numbers, sending = await asyncio.create_task(serve())
    assert numbers == [1, 2, 3, 4, 5]
    assert total(f"{fetch}_count", db_operation_name="SELECT", db_collection_name="raw") >= 5
    assert total(f"{fetch}_sum") >= 0.05
    assert total(phase, phase="fetch") == pytest.approx(total(f"{fetch}_sum"), rel=0.1)
    assert 0 < total(phase, phase="query") < sending


async def test_other_statements_have_no_fetches(engine: AsyncEngine, total: Total) -> None:
    """The rows of a statement without a server-side cursor come with it, so no fetch is timed."""
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    assert total("db_client_fetch_seconds_count") == 0
