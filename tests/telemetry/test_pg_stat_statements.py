"""The counts agree with those of PostgreSQL's pg_stat_statements."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Column, Integer, MetaData, Table, delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tablestakes.telemetry import AsyncTimedQueuePool, instrument

Total = Callable[..., float]

metadata = MetaData()
items = Table(
    "telemetry_truth",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("n", Integer, unique=True),
)
KINDS = ("SELECT", "INSERT", "UPDATE", "DELETE")


@pytest.fixture
async def truth(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine without listeners, for reading pg_stat_statements."""
    engine = create_async_engine(postgres_url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(text("CREATE EXTENSION pg_stat_statements"))
    yield engine
    await engine.dispose()


async def _unit(engine: AsyncEngine, draw: random.Random) -> None:
    """Run a randomly drawn unit of work; some of them fail."""
    number = draw.randrange(1_000_000)
    match draw.randrange(8):
        case 0:
            async with engine.begin() as connection:
                await connection.execute(insert(items).values(n=number))
        case 1:
            async with engine.begin() as connection:
                await connection.execute(insert(items), [{"n": number + part * 1_000_000} for part in range(1, 4)])
        case 2:
            async with engine.begin() as connection:
                await connection.execute(
                    insert(items).returning(items.c.id),
                    [{"n": number + part * 10_000_000} for part in range(1, 8)],
                    execution_options={"insertmanyvalues_page_size": 3},
                )
        case 3:
            async with engine.connect() as connection:
                for _ in range(3):
                    await connection.execute(select(items).where(items.c.n == number))
        case 4:
            async with engine.begin() as connection:
                await connection.execute(update(items).where(items.c.n == number).values(n=-number))
                await connection.execute(delete(items).where(items.c.n == -number))
        case 5:
            async with engine.connect() as connection:
                with pytest.raises(DBAPIError):
                    await connection.execute(text("SELECT broken FROM telemetry_truth"))
        case 6:
            async with engine.begin() as connection:
                nested = await connection.begin_nested()
                await connection.execute(select(items.c.id).limit(1))
                await nested.rollback()
        case _:
            # It is committed, because pg_stat_statements does not count the portal of a transaction that is rolled
            # back.
            async with engine.begin() as connection:
                rows = await connection.stream(select(items).limit(3))
                await rows.all()


async def test_the_server_counts_the_same(
    postgres_url: str, truth: AsyncEngine, registry: CollectorRegistry, total: Total
) -> None:
    """After a concurrent mixed load, the statements by kind and the transactions agree with pg_stat_statements."""
    engine = create_async_engine(postgres_url, poolclass=AsyncTimedQueuePool, pool_size=4, max_overflow=2)
    # The first connection of an engine sends questions of the dialect, which are not reported to listeners.
    async with engine.connect():
        pass
    await engine.dispose()
    instrument(engine, registry=registry)
    async with truth.connect() as connection:
        await connection.execute(text("SELECT pg_stat_statements_reset()"))
    draw = random.Random(7)
    for _ in range(6):
        await asyncio.gather(*(_unit(engine, draw) for _ in range(50)))
    async with truth.connect() as connection:
        rows = await connection.execute(
            text(
                "SELECT split_part(upper(query), ' ', 1) AS kind, sum(calls)::bigint, sum(rows)::bigint"
                " FROM pg_stat_statements"
                " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
                " AND query ILIKE '%telemetry_truth%' GROUP BY kind"
            )
        )
        calls = {kind: (count, given) for kind, count, given in rows}
        ends = await connection.execute(
            text(
                "SELECT upper(query), calls FROM pg_stat_statements"
                " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
                " AND upper(query) ~ '^(BEGIN|COMMIT|ROLLBACK)'"
            )
        )
        ends_on_server: dict[str, int] = {}
        for query, count in ends:
            # Rolling back to a savepoint is a statement, also for SQLAlchemy.
            if " TO SAVEPOINT" not in query:
                verb = query.split()[0].rstrip(";")
                ends_on_server[verb] = ends_on_server.get(verb, 0) + count
    await engine.dispose()

    counted = {
        kind: total("db_client_operation_duration_seconds_count", db_operation_name=kind, error_type="")
        for kind in KINDS
    }
    # asyncpg executes each parameter set of an executemany as a statement of its own.
    counted["INSERT"] += total("db_client_batch_size_sum", db_operation_name="BATCH INSERT")
    expected = {kind: calls.get(kind, (0, 0))[0] for kind in KINDS}
    assert counted == expected
    assert all(expected.values())
    assert ends_on_server["COMMIT"] == total("db_client_commit_seconds_count", outcome="ok")
    assert ends_on_server["ROLLBACK"] == total("db_client_rollback_seconds_count", outcome="ok")
    assert ends_on_server["BEGIN"] == total("db_client_transaction_seconds_count")
    assert total("db_client_operation_duration_seconds_count", error_type="42703") > 0
    assert total("db_client_errors_total") == total("db_client_errors_total", error_type="42703")
