"""Faults: real exceptions of real databases, named alike."""

import asyncio
import sqlite3
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.util import await_only

from marketplace_service import SERVICE
from tablestakes.database import Database, FaultKind, diagnose, open_database
from tablestakes.database.deadline import set_deadline
from tablestakes.database.engine import RETRY_SECONDS
from tests.process import HANGS
from tests.serving import settings_for

INSERT = (
    "INSERT INTO users (email, username, full_name, active, create_time, update_time)"
    " VALUES (:email, :username, '', true, '2026-01-01', '2026-01-01')"
)


@pytest.fixture
async def database(empty_url: str) -> Any:
    """A migrated database with one user and a child table."""
    opened = open_database(settings_for(empty_url, pool_size=2))
    await SERVICE.schema.upgrade(opened)
    async with opened.engine.begin() as connection:
        await connection.execute(text(INSERT), {"email": "a@example.com", "username": "a"})
        await connection.execute(
            text("CREATE TABLE child (id INTEGER PRIMARY KEY, user_id BIGINT NOT NULL REFERENCES users (id))")
        )
    yield opened
    await opened.close()


async def run(database: Database, statement: str, **parameters: Any) -> Any:
    """Run a statement, and return the first of its rows where it has any."""

    def work(connection: Connection) -> Any:
        result = connection.execute(text(statement), parameters)
        return result.first() if result.returns_rows else None

    return await database.run(work)


async def fault(database: Database, statement: str, **parameters: Any) -> Any:
    """Return the diagnosis of a statement that must fail."""
    with pytest.raises(SQLAlchemyError) as caught:
        await run(database, statement, **parameters)
    return diagnose(caught.value)


async def test_a_duplicate_tells_its_columns_or_its_constraint(database: Database) -> None:
    """A unique violation is DUPLICATE, with the columns or the constraint that the database names."""
    found = await fault(database, INSERT, email="a@example.com", username="b")
    assert found.kind is FaultKind.DUPLICATE
    assert found.columns == ("email",) or found.constraint == "ix_users_email"


async def test_a_missing_value_tells_its_column(database: Database) -> None:
    """A NOT NULL violation is NOT_NULL with the column on every database."""
    found = await fault(database, INSERT, email=None, username="c")
    assert (found.kind, found.columns) == (FaultKind.NOT_NULL, ("email",))


async def test_a_check_tells_its_constraint(database: Database) -> None:
    """A CHECK violation is CHECK with the constraint's name on every database."""
    found = await fault(database, INSERT, email="", username="d")
    assert (found.kind, found.constraint) == (FaultKind.CHECK, "ck_users_email")


async def test_a_reference_to_nothing_is_a_reference(database: Database) -> None:
    """A foreign key that points nowhere, and one that is pointed at, are REFERENCE on every database."""
    found = await fault(database, "INSERT INTO child (id, user_id) VALUES (1, 999)")
    assert found.kind is FaultKind.REFERENCE
    await run(database, "INSERT INTO child (id, user_id) SELECT 1, id FROM users")
    assert (await fault(database, "DELETE FROM users")).kind is FaultKind.REFERENCE


async def test_a_statement_that_is_wrong_is_unknown(database: Database) -> None:
    """A statement that no caller can be blamed for is UNKNOWN."""
    assert (await fault(database, "SELECT * FROM nowhere")).kind is FaultKind.UNKNOWN


async def test_a_full_pool_is_busy(empty_url: str) -> None:
    """No free connection in time is BUSY, and the pool serves again once there is one."""
    database = open_database(settings_for(empty_url, pool_size=1, pool_timeout=0.1))
    async with database.engine.connect():
        # A write on SQLite waits for as long as its call does.
        set_deadline(0.1)
        with pytest.raises(SQLAlchemyError) as caught:
            await run(database, "SELECT 1")
        assert (found := diagnose(caught.value)) is not None
        assert found.kind is FaultKind.BUSY
    set_deadline(HANGS)
    assert await run(database, "SELECT 1") == (1,)
    await database.close()


async def test_a_statement_past_its_timeout_is_a_timeout(postgres_url: str) -> None:
    """PostgreSQL's statement_timeout is TIMEOUT."""
    database = open_database(settings_for(postgres_url, statement_timeout=0.1))
    assert (await fault(database, "SELECT pg_sleep(2)")).kind is FaultKind.TIMEOUT
    await database.close()


async def test_a_deadlock_is_a_conflict(postgres_url: str) -> None:
    """Of two transactions that wait for each other one fails with CONFLICT, and the other goes on."""
    database = open_database(settings_for(postgres_url, pool_size=2))
    async with database.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE pair (id INTEGER PRIMARY KEY, n INTEGER)"))
        await connection.execute(text("INSERT INTO pair VALUES (1, 0), (2, 0)"))
    both = asyncio.Barrier(2)

    async def cross(first: int, second: int) -> FaultKind | None:
        async with database.engine.connect() as connection:
            await connection.execution_options(isolation_level="READ COMMITTED")
            await connection.execute(text("SET LOCAL deadlock_timeout = '50ms'"))
            await connection.execute(text("UPDATE pair SET n = n + 1 WHERE id = :id"), {"id": first})
            await both.wait()
            try:
                await connection.execute(text("UPDATE pair SET n = n + 1 WHERE id = :id"), {"id": second})
            except SQLAlchemyError as error:
                found = diagnose(error)
                return found.kind if found else None
            await connection.commit()
            return None

    assert {await each for each in asyncio.as_completed([cross(1, 2), cross(2, 1)])} == {FaultKind.CONFLICT, None}
    await database.close()


async def test_a_deadlocked_transaction_is_tried_again(postgres_url: str) -> None:
    """Of two transactions that wait for each other both take effect in the end, each exactly once."""
    database = open_database(settings_for(postgres_url, pool_size=2))
    async with database.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE pair (id INTEGER PRIMARY KEY, n INTEGER)"))
        await connection.execute(text("INSERT INTO pair VALUES (1, 0), (2, 0)"))
    both, attempts = asyncio.Barrier(2), 0

    def cross(connection: Connection, first: int, second: int) -> None:
        nonlocal attempts
        attempts += 1
        connection.execute(text("SET LOCAL deadlock_timeout = '50ms'"))
        connection.execute(text("UPDATE pair SET n = n + 1 WHERE id = :id"), {"id": first})
        if attempts <= 2:
            await_only(both.wait())
        connection.execute(text("UPDATE pair SET n = n + 1 WHERE id = :id"), {"id": second})

    await asyncio.gather(
        database.transact(lambda connection: cross(connection, 1, 2)),
        database.transact(lambda connection: cross(connection, 2, 1)),
    )
    assert attempts == 3
    assert await run(database, "SELECT min(n), max(n) FROM pair") == (2, 2)
    await database.close()


@pytest.mark.parametrize(
    ("state", "kind", "tries"),
    [
        ("40001", FaultKind.CONFLICT, 1 + len(RETRY_SECONDS)),
        ("40P01", FaultKind.CONFLICT, 1 + len(RETRY_SECONDS)),
        ("0A000", FaultKind.STALE, 1 + len(RETRY_SECONDS)),
        ("40003", FaultKind.UNDETERMINED, 1),
        ("23505", FaultKind.DUPLICATE, 1),
    ],
)
async def test_only_what_was_undone_is_repeated(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, state: str, kind: FaultKind, tries: int
) -> None:
    """A conflict was undone, a stale statement did not run, and both are repeated; others are not."""
    monkeypatch.setattr("tablestakes.database.engine.RETRY_SECONDS", (0.0,) * len(RETRY_SECONDS))
    database = open_database(settings_for(postgres_url))
    attempts = 0

    def fail(connection: Connection) -> None:
        nonlocal attempts
        attempts += 1
        connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'made' USING ERRCODE = '{state}'; END $$")

    for run_ in (database.run, database.transact, database.rehearse):
        attempts = 0
        with pytest.raises(SQLAlchemyError) as caught:
            await run_(fail)
        found = diagnose(caught.value)
        assert found is not None
        assert (found.kind, found.code, attempts) == (kind, state, tries)
    await database.close()


async def test_a_transaction_that_raises_is_undone(database: Database) -> None:
    """An exception of the work's own undoes all that it wrote, and is raised as it is."""

    def work(connection: Connection) -> None:
        connection.execute(text(INSERT), {"email": "undone@example.com", "username": "undone"})
        raise LookupError("on purpose")

    with pytest.raises(LookupError, match="on purpose"):
        await database.transact(work)
    assert await run(database, "SELECT count(*) FROM users") == (1,)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(), FaultKind.UNAVAILABLE),
        (TimeoutError(), FaultKind.TIMEOUT),
        (sqlite3.OperationalError("disk full"), FaultKind.UNKNOWN),
    ],
)
def test_exceptions_that_come_unwrapped_are_known_too(error: Exception, kind: FaultKind) -> None:
    """An exception that a driver raises past SQLAlchemy is diagnosed as well."""
    found = diagnose(error)
    assert found is not None
    assert found.kind is kind


def test_other_exceptions_are_not_of_the_database() -> None:
    """A fault is not seen in an exception that has nothing to do with one."""
    assert diagnose(ValueError("x")) is None
