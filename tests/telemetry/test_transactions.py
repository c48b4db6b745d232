"""Transactions are timed until COMMIT or ROLLBACK has returned, and there are none in autocommit."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tablestakes.telemetry import instrument

Total = Callable[..., float]
By = Callable[..., dict[tuple[str, ...], float]]
TRANSACTION = "db_client_transaction_seconds"
COMMIT, ROLLBACK = "db_client_commit_seconds", "db_client_rollback_seconds"


@pytest.fixture
async def engine(empty_url: str, registry: CollectorRegistry) -> AsyncIterator[AsyncEngine]:
    """An engine on each database."""
    made = create_async_engine(empty_url)
    instrument(made, registry=registry)
    yield made
    await made.dispose()


async def test_commit_and_rollback(engine: AsyncEngine, by: By) -> None:
    """A block that succeeds is a commit; a block that raises and a closed connection are rollbacks."""
    async with engine.begin() as connection:
        await connection.execute(text("SELECT 1"))
    with pytest.raises(DBAPIError):
        async with engine.begin() as connection:
            await connection.execute(text("SELECT nothing"))
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    assert by(f"{TRANSACTION}_count", "outcome") == {("commit",): 1, ("rollback",): 2}
    assert by(f"{COMMIT}_count", "outcome") == {("ok",): 1}
    assert by(f"{ROLLBACK}_count", "outcome") == {("ok",): 2}


async def test_a_transaction_lasts_from_begin_to_commit(engine: AsyncEngine, total: Total) -> None:
    """A transaction includes the time between its statements and that of COMMIT, which is also timed by itself."""
    async with engine.begin() as connection:
        await connection.execute(text("SELECT 1"))
        start = time.perf_counter()
        await asyncio.sleep(0.05)
        slept = time.perf_counter() - start
    assert 0 < total(f"{COMMIT}_sum") < total(f"{TRANSACTION}_sum") - slept


@pytest.mark.parametrize("how", ["engine", "derived", "connection"])
async def test_autocommit_has_no_transactions(
    empty_url: str, registry: CollectorRegistry, by: By, how: str
) -> None:
    """Statements in autocommit are not transactions, whether the engine or the connection is in autocommit."""
    engine = create_async_engine(empty_url, **({"isolation_level": "AUTOCOMMIT"} if how == "engine" else {}))
    instrument(engine, registry=registry)
    used = engine.execution_options(isolation_level="AUTOCOMMIT") if how == "derived" else engine
    async with used.connect() as connection:
        if how == "connection":
            await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("SELECT 1"))
        await connection.commit()
        await connection.execute(text("SELECT 1"))
        await connection.rollback()
    await engine.dispose()
    for name in (TRANSACTION, COMMIT, ROLLBACK):
        assert by(f"{name}_count", "outcome") == {}


async def test_a_transaction_on_an_engine_in_autocommit(
    empty_url: str, registry: CollectorRegistry, by: By
) -> None:
    """A transaction on such an engine is counted, and later statements in autocommit are not."""
    engine = create_async_engine(empty_url, isolation_level="AUTOCOMMIT")
    instrument(engine, registry=registry)
    for _ in range(2):
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="SERIALIZABLE")
            async with connection.begin():
                await connection.execute(text("SELECT 1"))
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    await engine.dispose()
    assert by(f"{TRANSACTION}_count", "outcome") == {("commit",): 2}


async def test_a_savepoint_is_no_transaction(engine: AsyncEngine, by: By) -> None:
    """A savepoint that is rolled back is not counted as a transaction."""
    async with engine.begin() as connection:
        nested = await connection.begin_nested()
        await nested.rollback()
    assert by(f"{TRANSACTION}_count", "outcome") == {("commit",): 1}


async def test_a_commit_that_fails(postgres_url: str, registry: CollectorRegistry, by: By) -> None:
    """A constraint that fails at COMMIT is an error of COMMIT, and the transaction counts as rolled back."""
    engine = create_async_engine(postgres_url)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE once (n INTEGER UNIQUE DEFERRABLE INITIALLY DEFERRED)"))
    instrument(engine, registry=registry)
    with pytest.raises(DBAPIError):
        async with engine.begin() as connection:
            await connection.execute(text("INSERT INTO once VALUES (1), (1)"))
    await engine.dispose()
    assert by(f"{TRANSACTION}_count", "outcome") == {("rollback",): 1}
    assert by(f"{COMMIT}_count", "outcome") == {("error",): 1}
    assert by(f"{ROLLBACK}_count", "outcome") == {}
    assert by("db_client_errors_total", "phase", "error_type", "disconnect") == {("commit", "23505", "false"): 1}


async def test_a_transaction_that_ends_with_its_connection(
    postgres_url: str, registry: CollectorRegistry, by: By
) -> None:
    """A transaction whose connection is lost by a cancellation counts as rolled back."""
    engine = create_async_engine(postgres_url)
    instrument(engine, registry=registry)
    with pytest.raises(TimeoutError):
        async with engine.begin() as connection, asyncio.timeout(0.1):
            await connection.execute(text("SELECT pg_sleep(30)"))
    async with engine.begin() as connection:
        await connection.execute(text("SELECT 1"))
    await engine.dispose()
    assert by(f"{TRANSACTION}_count", "outcome") == {("commit",): 1, ("rollback",): 1}


async def test_a_cancelled_commit(postgres_url: str, registry: CollectorRegistry, by: By) -> None:
    """A cancelled COMMIT is counted as cancelled, not as an error, and its connection is lost."""
    engine = create_async_engine(postgres_url)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE slow (n INTEGER)"))
        for line in (
            "CREATE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN PERFORM pg_sleep(30); RETURN NULL; END'",
            "CREATE CONSTRAINT TRIGGER doze AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION doze()",
        ):
            await connection.execute(text(line))
    instrument(engine, registry=registry)
    async with engine.connect() as connection:
        await connection.execute(text("INSERT INTO slow VALUES (1)"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connection.commit()
    await engine.dispose()
    assert by(f"{COMMIT}_count", "outcome") == {("cancelled",): 1}
    assert by(f"{TRANSACTION}_count", "outcome") == {("rollback",): 1}
    assert by("db_client_errors_total", "phase", "error_type", "disconnect") == {("commit", "cancelled", "true"): 1}


async def test_remove_puts_the_dialect_back(engine: AsyncEngine, registry: CollectorRegistry) -> None:
    """remove() restores the methods of the dialect, except those that other code has replaced since."""
    instrumentation = instrument(engine, registry=registry)
    names = ("connect", "do_ping", "do_commit", "do_rollback")
    assert all(name in vars(engine.dialect) for name in names)
    ours = engine.dialect.do_commit

    def theirs(connection: Any) -> None:
        time.sleep(0)
        ours(connection)

    engine.dialect.do_commit = theirs  # type: ignore[assignment, method-assign]
    instrumentation.remove()
    assert [name for name in names if name in vars(engine.dialect)] == ["do_commit"]
    async with engine.begin() as connection:
        await connection.execute(text("SELECT 1"))
    assert list(registry.collect()) == []
