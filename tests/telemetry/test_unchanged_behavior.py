"""Instrumenting an engine does not change its behavior, and removing the instrumentation restores the engine."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from inspect import isfunction
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tablestakes.telemetry import AsyncTimedQueuePool, instrument
from tests.postgres import Postgres
from tests.telemetry import database_record

metadata = MetaData()
things = Table("things", metadata, Column("id", Integer, primary_key=True), Column("n", Integer, unique=True))


@pytest.fixture
async def engine(empty_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine with one connection and no listeners, on each database."""
    made = create_async_engine(empty_url, poolclass=AsyncTimedQueuePool, pool_size=1, max_overflow=0)
    async with made.begin() as connection:
        await connection.run_sync(metadata.create_all)
        if made.dialect.name == "postgresql":
            await connection.execute(text(f"ALTER DATABASE {made.url.database} SET log_min_duration_statement = 0"))
    await made.dispose()  # the setting applies to new sessions
    yield made
    await made.dispose()


Statements = list[str]


@asynccontextmanager
async def recorded_statements(engine: AsyncEngine, server: Postgres) -> AsyncIterator[Statements]:
    """Yield a list that has the SQL that the database receives in this block, after the block."""
    statements: Statements = []
    if engine.dialect.name == "sqlite":
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.set_trace_callback(statements.append)
        yield statements
        await driver.set_trace_callback(None)
        return
    log = server.folder / "log"
    offset = log.stat().st_size
    yield statements
    statements += database_record.from_log(log, str(engine.url.database), offset).texts


def listeners(engine: Engine) -> dict[str, int]:
    """Return the number of listeners of each event of an engine, its pool and its dialect."""
    targets: tuple[Any, ...] = (engine, engine.pool, engine.dialect)
    return {
        f"{type(target).__name__}.{name}": len(getattr(target.dispatch, name))
        for target in targets
        for name in target.dispatch._event_names
    }


def replaced(engine: Engine) -> dict[str, Any]:
    """Return the replaced methods of an engine's dialect, and the attributes of its pool for reporting waits."""
    dialect, pool = engine.dialect, engine.pool
    methods = {name: each for name, each in vars(dialect).items() if isfunction(getattr(type(dialect), name, None))}
    others = {name: value for name, value in vars(pool).items() if "waits" in name}
    return methods | others


async def outcomes(engine: AsyncEngine) -> list[str]:
    """Execute statements of all kinds, and return their results and errors."""

    def work(connection: Connection) -> list[str]:
        steps: tuple[Callable[[], object], ...] = (
            lambda: connection.execute(insert(things).returning(things.c.n), [{"n": 1}, {"n": 2}]).all(),
            lambda: connection.execute(insert(things), [{"n": 3}, {"n": 4}]).rowcount,
            lambda: connection.execute(update(things).where(things.c.n == 1).values(n=5)).rowcount,
            lambda: connection.execute(select(things.c.n).order_by(things.c.n)).scalars().all(),
            lambda: connection.execute(text("SELECT :value + 0"), {"value": 1}).all(),
        )
        results = [str(step()) for step in steps]
        with pytest.raises(DBAPIError) as caught, connection.begin_nested():
            connection.execute(insert(things).values(n=5))
        results.append(str(caught.value))
        return results

    results = []
    async with engine.connect() as connection:
        results += await connection.run_sync(work)
        await connection.rollback()
        with pytest.raises(DBAPIError) as caught:
            await connection.execute(text("SELECT nothing FROM things"))
        results.append(f"{type(caught.value).__name__} {caught.value}")
    async with engine.begin() as connection:
        results.append(str((await connection.execute(select(things.c.n))).all()))
    return results


async def test_statements_and_results_are_unchanged(
    engine: AsyncEngine, server_of_postgres: Postgres, registry: CollectorRegistry
) -> None:
    """With and without the instrumentation, the database receives the same SQL and returns the same results."""
    await outcomes(engine)  # this also sends what is sent only once
    seen = []
    for step in ("plain", "observed", "plain again"):
        if step == "observed":
            instrumentation = instrument(engine, registry=registry)
        async with recorded_statements(engine, server_of_postgres) as statements:
            results = await outcomes(engine)
        seen.append((results, statements))
        if step == "observed":
            assert registry.get_sample_value("instrumentation_errors_total") == 0
            instrumentation.remove()
    assert seen[0][1]
    assert seen[0] == seen[1] == seen[2]


async def test_removal_leaves_nothing_behind(engine: AsyncEngine, registry: CollectorRegistry) -> None:
    """After remove() there are no listeners, no replaced methods and no metrics left."""
    root = engine.sync_engine
    before = listeners(root), replaced(root)
    instrumentation = instrument(engine, registry=registry)
    assert instrument(engine, registry=registry) is instrumentation
    observed = listeners(root), replaced(root)
    await outcomes(engine)
    await engine.dispose()
    assert listeners(root) == observed[0]
    instrumentation.remove()
    assert listeners(root) == before[0] != observed[0]
    assert replaced(root) == before[1] != observed[1]
    assert list(registry.collect()) == []
    await outcomes(engine)
    assert list(registry.collect()) == []
