"""Writes on SQLite share transactions: each has an outcome of its own, and none before the COMMIT."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, event
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tablestakes.database import Database, FaultKind, diagnose, open_database
from tablestakes.database.deadline import set_deadline
from tablestakes.settings import Settings
from tablestakes.telemetry import RpcAccount, current_rpc, instrument
from tests.telemetry.engine_labels import IN_A_FILE

SCHEMA = (
    "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
    "CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)",
)
# It counts for some hundredths of a second, in which others come to wait.
SLOW = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 100000) SELECT count(*) FROM n"


def insert(id_: int) -> Any:
    """Return work that inserts a row."""
    return lambda connection: connection.exec_driver_sql("INSERT INTO parent VALUES (?)", (id_,)).rowcount


def execute(statement: str) -> Callable[[Connection], object]:
    """Return work that executes a statement."""
    return lambda connection: connection.exec_driver_sql(statement)


def slow(connection: Connection) -> None:
    """Occupy the connection for a while."""
    connection.exec_driver_sql(SLOW).all()


def ids(connection: Connection) -> list[int]:
    """Return the ids of all rows."""
    return list(connection.exec_driver_sql("SELECT id FROM parent ORDER BY id").scalars())


def transactions(database: Database) -> list[str]:
    """Return a list to which each COMMIT and ROLLBACK of a database is added."""
    seen: list[str] = []
    event.listen(database.engine.sync_engine, "commit", lambda _: seen.append("COMMIT"))
    event.listen(database.engine.sync_engine, "rollback", lambda _: seen.append("ROLLBACK"))
    return seen


@pytest.fixture(params=["file", "memory"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database in a file, and one in memory."""
    path = f"{tmp_path}/writes.db" if request.param == "file" else ":memory:"
    opened = open_database(Settings.load(database_url=f"sqlite+aiosqlite:///{path}", pool_timeout=0.2))
    for statement in SCHEMA:
        await opened.run(execute(statement))
    yield opened
    await opened.close()


async def test_callers_wait_in_order_and_longer_than_the_pool_would(database: Database) -> None:
    """Of 24 writes at once none fails, though together they take longer than a wait for the pool may."""
    done: list[int] = []
    set_deadline(600)

    async def write(number: int) -> None:
        def work(connection: Connection) -> None:
            slow(connection)
            insert(number)(connection)

        await database.run(work)
        done.append(number)

    await asyncio.gather(*(write(number) for number in range(24)))
    assert done == list(range(24))
    assert await database.run(ids, reads=True) == done


async def test_waiting_writes_share_a_commit(database: Database) -> None:
    """Fifty writes that come while one is under way are committed with it."""
    seen = transactions(database)
    results = await asyncio.gather(database.run(slow), *(database.run(insert(number)) for number in range(50)))
    assert results[1:] == [1] * 50
    assert seen == ["COMMIT"]


async def test_each_write_has_an_outcome_of_its_own(database: Database) -> None:
    """A write that fails undoes itself: all of it where it is atomic, and nothing of the others."""
    await database.run(insert(1))

    def twice(connection: Connection) -> None:
        insert(2)(connection)
        insert(1)(connection)

    def refuse(connection: Connection) -> None:
        insert(3)(connection)
        raise LookupError

    outcomes: Sequence[Any] = await asyncio.gather(
        database.run(insert(10)),
        database.transact(twice),
        database.transact(refuse),
        database.rehearse(insert(4)),
        database.run(insert(1)),
        database.transact(insert(11)),
        return_exceptions=True,
    )
    kinds = [type(each) if isinstance(each, Exception) else each for each in outcomes]
    assert kinds == [1, IntegrityError, LookupError, 1, IntegrityError, 1]
    assert await database.run(ids, reads=True) == [1, 10, 11]


async def test_nobody_is_answered_before_the_commit(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the COMMIT fails, each write of the transaction fails with it, and none took effect."""

    def fail(_: Any) -> None:
        raise OperationalError("COMMIT", None, Exception("disk I/O error"))

    monkeypatch.setattr(database.engine.dialect, "do_commit", fail)
    outcomes: Sequence[Any] = await asyncio.gather(
        database.run(slow), *(database.run(insert(number)) for number in range(5)), return_exceptions=True
    )
    assert [type(each) for each in outcomes] == [OperationalError] * 6
    monkeypatch.undo()
    assert await database.run(ids, reads=True) == []
    assert await database.run(insert(1)) == 1


async def test_a_constraint_that_fails_the_commit_fails_one_write(database: Database) -> None:
    """A violation that is found at the COMMIT is its own write's error, and the others are committed."""

    def orphan(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO child VALUES (404)")

    outcomes: Sequence[Any] = await asyncio.gather(
        database.run(insert(1)), database.run(orphan), database.run(insert(2)), return_exceptions=True
    )
    assert [outcomes[0], type(outcomes[1]), outcomes[2]] == [1, IntegrityError, 1]
    assert await database.run(ids, reads=True) == [1, 2]


async def test_a_caller_that_leaves_holds_nobody_up(database: Database) -> None:
    """A cancelled caller's transaction goes on for the others, and the write of one that still waits is dropped."""
    first = asyncio.ensure_future(database.run(slow))
    second = asyncio.ensure_future(database.run(insert(1)))
    third = asyncio.ensure_future(database.run(insert(2)))
    await asyncio.sleep(0.001)
    first.cancel()
    second.cancel()
    assert await third == 1
    assert await database.run(ids, reads=True) == [2]


async def test_a_write_whose_deadline_passes_first_is_never_begun(database: Database) -> None:
    """A write that waits until its deadline fails as BUSY, and takes no effect later."""

    async def hasty() -> None:
        set_deadline(0.02)
        await database.run(insert(1))

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(database.run(slow))
        await asyncio.sleep(0)
        with pytest.raises(PoolTimeoutError) as caught:
            await asyncio.ensure_future(hasty())
        fault = diagnose(caught.value)
        assert fault is not None
        assert fault.kind is FaultKind.BUSY
    assert await database.run(ids, reads=True) == []


async def test_each_statement_and_each_wait_is_counted_once(database: Database) -> None:
    """Each RPC's account has its own statement, the metrics one checkout for each write, and nothing is pending."""
    registry = CollectorRegistry()
    metrics = instrument(database.engine, registry=registry)
    accounts: list[RpcAccount] = []

    async def write(number: int) -> None:
        account = RpcAccount(f"/Service/{number}")
        accounts.append(account)
        current_rpc.set(account)
        await database.run(insert(number))
        account.close()

    for start in (0, 10, 20):
        await asyncio.gather(*(asyncio.ensure_future(write(start + number)) for number in range(10)))
    inserts = [sum(runs.times for query, runs in each.runs.items() if "INSERT" in query.text) for each in accounts]
    assert inserts == [1] * 30
    assert all(each.seconds[4] > 0 for each in accounts), "each waited for a COMMIT"
    assert all(sum(each.seconds) <= each.total for each in accounts)

    def sample(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, IN_A_FILE | labels)

    assert sample("db_client_connection_acquires_total") == 30
    assert sample("db_client_connection_pending_requests") == 0
    assert sample("db_client_transaction_seconds_count", outcome="commit") in {3, 4, 5, 6}
    metrics.remove()
