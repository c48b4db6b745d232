"""The database usage of an RPC is counted once, when it ends, and its phases add up to its time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Column, Integer, MetaData, Table, column, insert, select, table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tablestakes.telemetry import AsyncTimedQueuePool, MethodMetrics, RpcMetrics, enter, instrument
from tablestakes.telemetry.account import CONNECT, POOL_WAIT, QUERY, RpcAccount

Total = Callable[..., float]
By = Callable[..., dict[tuple[str, ...], float]]
SECONDS, QUERIES, REPEATED = "rpc_db_seconds_total", "rpc_db_queries", "rpc_db_repeated_statements_total"
HANDLING = "grpc_server_handling_seconds_sum"


@pytest.fixture
async def engine(empty_url: str, registry: CollectorRegistry) -> AsyncIterator[AsyncEngine]:
    """An engine with two connections, on each database."""
    made = create_async_engine(empty_url, poolclass=AsyncTimedQueuePool, pool_size=2, max_overflow=0)
    instrument(made, registry=registry)
    yield made
    await made.dispose()


@pytest.fixture
def method(registry: CollectorRegistry) -> MethodMetrics:
    """A method for which ten repetitions of a statement are suspect."""
    return RpcMetrics(registry).method("shop.v1.Shop", "Buy")


async def _query(engine: AsyncEngine, times: int = 1, sleep: float = 0.0) -> None:
    async with engine.begin() as connection:
        for _ in range(times):
            await connection.execute(text("SELECT 1"))
            await asyncio.sleep(sleep)


async def test_every_phase_is_there_from_the_start(method: MethodMetrics, registry: CollectorRegistry) -> None:
    """A method that was never called has all phases at zero."""
    assert method.full_method == "/shop.v1.Shop/Buy"
    phases = {s.labels["phase"]: s.value for f in registry.collect() for s in f.samples if s.name == SECONDS}
    assert phases == dict.fromkeys(("pool_wait", "connect", "query", "fetch", "commit", "rollback", "other"), 0)


async def test_phases_add_up(engine: AsyncEngine, method: MethodMetrics, by: By, total: Total) -> None:
    """With concurrent statements, waits, connects, failures and sleeps, no time is lost or counted twice."""

    async def fail() -> None:
        with pytest.raises(DBAPIError):
            async with engine.connect() as connection:
                await connection.execute(text("SELECT nothing"))

    async def serve() -> None:
        account = enter(method)
        await _query(engine, 2, 0.01)
        await asyncio.gather(*(_query(engine, 3, 0.005) for _ in range(5)), fail())
        await asyncio.create_task(_query(engine))
        await asyncio.sleep(0.02)
        method.finish(account, "OK")

    await asyncio.create_task(serve())
    phases = {phase: seconds for (phase,), seconds in by(SECONDS, "phase").items()}
    # Overlapping time is charged to the phase that began first, so a short phase may disappear behind a long one.
    assert (
        {"connect", "query", "other"}
        <= set(phases)
        <= {
            *("pool_wait", "connect", "query", "commit", "rollback", "other"),
        }
    )
    assert phases["other"] >= 0.04
    assert sum(phases.values()) == pytest.approx(total(HANDLING), rel=1e-9)
    assert total(f"{QUERIES}_sum") == 2 + 5 * 3 + 1 + 1


async def test_a_hundred_rpcs_at_once(engine: AsyncEngine, registry: CollectorRegistry, total: Total) -> None:
    """Each concurrent RPC is charged its own statements and waits, and those of its child tasks."""
    metrics = RpcMetrics(registry)

    async def serve(number: int) -> RpcAccount:
        method = metrics.method("shop.v1.Shop", f"Buy{number % 4}")
        account = enter(method)
        await _query(engine, number % 3)
        await asyncio.gather(_query(engine), _query(engine, 2))
        method.finish(account, "OK")
        return account

    accounts = await asyncio.gather(*(asyncio.create_task(serve(number)) for number in range(100)))
    assert [account.statements for account in accounts] == [number % 3 + 3 for number in range(100)]
    for number in range(4):
        own = accounts[number::4]
        name = f"Buy{number}"
        assert total(f"{QUERIES}_count", grpc_method=name) == 25
        assert total(f"{QUERIES}_sum", grpc_method=name) == sum(account.statements for account in own)
        assert total(SECONDS, grpc_method=name) == pytest.approx(total(HANDLING, grpc_method=name), rel=1e-9)
        assert total(SECONDS, grpc_method=name, phase="pool_wait") == pytest.approx(
            sum(account.seconds[POOL_WAIT] for account in own)
        )
    assert all(account.seconds[POOL_WAIT] > 0 for account in accounts[4:])


async def test_the_first_rpc_pays_for_the_connect(engine: AsyncEngine, method: MethodMetrics) -> None:
    """A connect is charged to the RPC that needed it, and to no other."""

    async def serve() -> RpcAccount:
        account = enter(method)
        await _query(engine)
        method.finish(account, "OK")
        return account

    first = await asyncio.create_task(serve())
    second = await asyncio.create_task(serve())
    assert first.seconds[CONNECT] > 0
    assert second.seconds[CONNECT] == 0
    assert second.seconds[QUERY] > 0


async def test_work_that_outlives_its_rpc(engine: AsyncEngine, method: MethodMetrics, by: By, total: Total) -> None:
    """After an RPC has ended nothing is added to it, not even by a statement that was running."""
    started = asyncio.Event()

    async def work() -> None:
        async with engine.connect() as connection:
            started.set()
            for _ in range(20):
                await connection.execute(text("SELECT 1"))

    async def serve() -> tuple[RpcAccount, asyncio.Task[None]]:
        account = enter(method)
        task = asyncio.create_task(work())
        await started.wait()
        await asyncio.sleep(0)
        method.finish(account, "Canceled")
        return account, task

    account, task = await asyncio.create_task(serve())
    before, statements = by(SECONDS, "phase"), account.statements
    await task
    assert method.finish(account, "OK") == account.total
    assert by(SECONDS, "phase") == before
    assert account.statements == statements < 20
    assert total(f"{QUERIES}_count") == 1
    assert sum(before.values()) == pytest.approx(total(HANDLING), rel=1e-9)


async def test_an_account_charges_overlapping_time_once() -> None:
    """Overlapping time is charged to the phase that began first, until that ends."""
    account = RpcAccount("/shop.v1.Shop/Buy")
    account.begin(QUERY, 10.0)
    account.begin(POOL_WAIT, 11.0)
    account.begin(QUERY, 12.0)
    account.end(QUERY, 14.0)
    account.end(POOL_WAIT, 15.0)
    account.end(QUERY, 17.0)
    account.end(QUERY, 99.0)
    assert account.seconds[QUERY] == 14.0 - 10.0 + 17.0 - 15.0
    assert account.seconds[POOL_WAIT] == 1.0


async def test_repeated_statements(
    engine: AsyncEngine,
    method: MethodMetrics,
    by: By,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A statement that one RPC executes ten times is counted once for each such RPC, and logged once."""
    things = table("things", column("n"))

    async def serve(times: int) -> None:
        account = enter(method)
        async with engine.connect() as connection:
            for n in range(times):
                await connection.execute(select(things).where(things.c.n == n))
        method.finish(account, "OK")

    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE things (n INTEGER)"))
    with caplog.at_level(logging.WARNING, "tablestakes.telemetry.repeated"):
        for times in (9, 10, 25, 9):
            await asyncio.create_task(serve(times))
    assert by(REPEATED, "grpc_method", "db_collection_name") == {("Buy", "things"): 2}
    [record] = caplog.records
    fields = vars(record)
    assert record.getMessage() == "repeated statement"
    assert fields["rpc_method"] == "/shop.v1.Shop/Buy"
    assert fields["db_collection_name"] == "things"
    assert fields["times"] == 10
    assert "SELECT" in fields["db_query_text"]


def test_repetitions_are_zero_before_the_first(registry: CollectorRegistry, method: MethodMetrics) -> None:
    """Each method has a sample at zero, without a collection, before an RPC repeats a statement."""
    service, name = method.usage.labels
    labels = {"grpc_service": service, "grpc_method": name, "db_collection_name": ""}
    assert registry.get_sample_value(REPEATED, labels) == 0


async def test_a_bulk_insert_is_not_repeated(engine: AsyncEngine, method: MethodMetrics, by: By) -> None:
    """The pages of one INSERT with many rows are not repetitions."""
    things = Table("things", MetaData(), Column("id", Integer, primary_key=True), Column("n", Integer))

    async def serve() -> RpcAccount:
        account = enter(method)
        async with engine.begin() as connection:
            await connection.execute(
                insert(things).returning(things.c.id),
                [{"n": n} for n in range(20)],
                execution_options={"insertmanyvalues_page_size": 1},
            )
        method.finish(account, "OK")
        return account

    async with engine.begin() as connection:
        await connection.run_sync(things.create)
    account = await asyncio.create_task(serve())
    assert account.statements == 20
    assert by(REPEATED, "grpc_method") == {}


async def test_the_threshold_is_a_setting(tmp_path: Path, registry: CollectorRegistry, by: By) -> None:
    """The number of repetitions that is suspect can be set."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'r.db'}")
    instrument(engine, registry=registry)
    method = RpcMetrics(registry, repeat_threshold=2).method("shop.v1.Shop", "Buy")

    async def serve() -> None:
        account = enter(method)
        await _query(engine, 2)
        method.finish(account, "OK")

    await asyncio.create_task(serve())
    await engine.dispose()
    assert by(REPEATED, "db_collection_name") == {("raw",): 1}


async def test_a_statement_that_is_compiled_each_time_is_one(
    engine: AsyncEngine, method: MethodMetrics, by: By
) -> None:
    """A construct that SQLAlchemy does not cache is the same statement each time, and so may be repeated."""
    items = Table("spent", MetaData(), Column("id", Integer, primary_key=True), Column("n", Integer))
    async with engine.begin() as connection:
        await connection.run_sync(items.metadata.create_all)

    async def serve() -> None:
        account = enter(method)
        async with engine.begin() as connection:
            for number in range(12):
                await connection.execute(insert(items).values([{"n": number}, {"n": -number}]))
        method.finish(account, "OK")

    await asyncio.create_task(serve())
    assert by(REPEATED, "db_collection_name") == {("spent",): 1}
    inserts = [each for each in method.usage.statements() if each.query.operation.name == "INSERT"]
    assert [(each.times, each.repeated) for each in inserts] == [(12, 12)]
