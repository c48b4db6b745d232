"""The rows of a statement and the sets of parameters of a batch are counted, if the driver says so."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tablestakes.telemetry import instrument

By = Callable[..., dict[tuple[str, ...], float]]
NAMES = ("db_operation_name", "db_collection_name")
ROWS, BATCH = "db_client_response_returned_rows", "db_client_batch_size"

metadata = MetaData()
items = Table("telemetry_rows", metadata, Column("id", Integer, primary_key=True), Column("n", Integer))


@pytest.fixture
async def engine(empty_url: str, registry: CollectorRegistry) -> AsyncIterator[AsyncEngine]:
    """An engine on each database, with a table."""
    made = create_async_engine(empty_url)
    async with made.begin() as connection:
        await connection.run_sync(metadata.create_all)
    instrument(made, registry=registry)
    yield made
    await made.dispose()


async def test_rows_are_what_the_driver_counts(engine: AsyncEngine, by: By) -> None:
    """Changed rows are counted with both drivers, and rows of a SELECT with asyncpg only."""
    async with engine.begin() as connection:
        for n in range(12):
            await connection.execute(insert(items).values(n=n))
        await connection.execute(update(items).where(items.c.n < 5).values(n=0))
        await connection.execute(delete(items).where(items.c.n > 99))
        await connection.execute(select(items))
    select_rows = {("SELECT", "telemetry_rows"): 12.0} if engine.dialect.name == "postgresql" else {}
    assert by(f"{ROWS}_sum", *NAMES) == select_rows | {
        ("INSERT", "telemetry_rows"): 12,
        ("UPDATE", "telemetry_rows"): 5,
    }
    # A statement with zero rows is counted too.
    assert by(f"{ROWS}_count", *NAMES)["DELETE", "telemetry_rows"] == 1


async def test_a_batch_is_the_drivers_executemany(engine: AsyncEngine, by: By) -> None:
    """An executemany is one batch of its sets of parameters; insertmanyvalues are statements and no batch."""
    async with engine.begin() as connection:
        await connection.execute(insert(items), [{"n": n} for n in range(7)])
        await connection.execute(text("UPDATE telemetry_rows SET n = :n"), [{"n": 1}, {"n": 2}])
        await connection.execute(insert(items).returning(items.c.id), [{"n": n} for n in range(9)])
    assert by(f"{BATCH}_sum", *NAMES) == {("BATCH INSERT", "telemetry_rows"): 7, ("BATCH UPDATE", "raw"): 2}
    assert by(f"{BATCH}_count", *NAMES) == {("BATCH INSERT", "telemetry_rows"): 1, ("BATCH UPDATE", "raw"): 1}


def test_the_edges_of_the_buckets(tmp_path: Path, registry: CollectorRegistry) -> None:
    """The buckets of rows have a bound at 0 and at each power of ten."""
    engine = create_engine(f"sqlite:///{tmp_path / 'rows.db'}")
    instrument(engine, registry=registry)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER)"))
        connection.execute(text("INSERT INTO t VALUES (1)"))
    engine.dispose()
    edges = [s.labels["le"] for f in registry.collect() for s in f.samples if s.name == f"{ROWS}_bucket"]
    assert edges[:4] == ["1.0", "2.0", "5.0", "10.0"]
    assert edges[-2:] == ["10000.0", "+Inf"]
