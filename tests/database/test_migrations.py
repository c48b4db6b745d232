"""Migrations: they make the schema that the models describe, and can be run by anyone at any time."""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import grpc
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from marketplace.v1 import user_pb2, user_pb2_grpc
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from marketplace_service import SERVICE
from tablestakes.app import start
from tablestakes.database import Database, FaultKind, diagnose, open_database
from tablestakes.database.migrations import Migrations
from tablestakes.database.schema_error import SchemaError
from tests.process import HANGS
from tests.serving import settings_for

SCHEMA = SERVICE.schema


@pytest.fixture
async def database(empty_url: str) -> Any:
    """An empty database, open."""
    opened = open_database(settings_for(empty_url, pool_size=2))
    yield opened
    await opened.close()


AddRevision = Callable[[str], tuple[Migrations, str]]


@pytest.fixture
def add_revision(tmp_path: Path) -> AddRevision:
    """Copy the migrations with one more revision, by the body of its upgrade; return them and the one before it."""

    def add(body: str) -> tuple[Migrations, str]:
        folder = tmp_path / "alembic"
        shutil.copytree(SERVICE.migrations, folder, ignore=shutil.ignore_patterns("__pycache__"))
        last = scripts(SCHEMA).get_current_head()
        assert last is not None
        (folder / "versions" / "added.py").write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n\n"
            f"revision, down_revision, branch_labels, depends_on = 'addedaddedad', {last!r}, None, None\n\n\n"
            f"def upgrade() -> None:\n    {body}\n"
        )
        return Migrations(folder, SCHEMA.command), last

    return add


def scripts(schema: Migrations) -> ScriptDirectory:
    """Return the files of some migrations."""
    return ScriptDirectory(str(schema.folder))


async def insert_user(database: Database, username: str) -> int:
    """Insert a user past the service, and return the id that the database chose."""
    statement = text(
        "INSERT INTO users (email, username, full_name, active, create_time, update_time)"
        " VALUES (:email, :username, '', true, '2026-01-01', '2026-01-01') RETURNING id"
    )
    values = {"email": f"{username}@example.com", "username": username}
    async with database.engine.connect() as connection:
        return int(await connection.scalar(statement, values))


async def in_sync(engine: AsyncEngine, function: Any) -> Any:
    """Run a function of a plain connection."""
    async with engine.connect() as connection:
        return await connection.run_sync(function)


def differences(connection: Connection) -> list[Any]:
    """Return the changes by which Alembic would make the database the one that the models describe."""
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, SERVICE.metadata))


def tables(connection: Connection) -> Iterable[str]:
    """Return the names of the tables."""
    return sorted(inspect(connection).get_table_names())


async def test_migrations_make_the_schema_of_the_models(database: Database) -> None:
    """After every migration Alembic finds no difference between the database and the models."""
    await SCHEMA.upgrade(database)
    assert await in_sync(database.engine, differences) == []


async def test_a_difference_would_be_found(database: Database) -> None:
    """The comparison sees a column that no migration made: the test above can fail."""
    await SCHEMA.upgrade(database)
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE users ADD COLUMN stray INTEGER"))
    assert [change[0] for change in await in_sync(database.engine, differences)] == ["remove_column"]


async def test_up_and_down_and_up_again(database: Database) -> None:
    """A downgrade to nothing leaves no table behind, and an upgrade after it makes the same schema."""
    head = (await SCHEMA.upgrade(database)).current
    made = await in_sync(database.engine, tables)
    assert (await SCHEMA.downgrade(database, "base")).current == ""
    assert await in_sync(database.engine, tables) == ["alembic_version"]
    assert (await SCHEMA.upgrade(database)).current == head
    assert await in_sync(database.engine, tables) == made
    assert await in_sync(database.engine, differences) == []


async def test_many_migrators_at_once_apply_each_step_once(empty_url: str, database: Database) -> None:
    """Four processes that migrate at the same time all succeed, and leave the schema at its one head."""
    processes = await asyncio.gather(*(_start_migrating(empty_url) for _ in range(4)))
    try:
        async with asyncio.timeout(HANGS):
            told = await asyncio.gather(*(process.communicate() for process in processes))
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
    errors = [errors.decode() for _, errors in told]
    assert [process.returncode for process in processes] == [0] * len(processes), errors
    found = await SCHEMA.revisions(database)
    assert found.current == found.head
    async with database.engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1
    assert await in_sync(database.engine, differences) == []


async def _start_migrating(url: str) -> asyncio.subprocess.Process:
    """Start the command that migrates, in a process of its own: Alembic's state is one for each process."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "server",
        "migrate",
        env=os.environ | {"DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_an_upgrade_of_a_current_schema_changes_nothing(database: Database) -> None:
    """Migrating twice is migrating once, and the rows in the tables stay."""
    await SCHEMA.upgrade(database)
    async with database.engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO users (email, username, full_name, active, create_time, update_time)"
                " VALUES ('kept@example.com', 'kept', '', true, '2026-01-01', '2026-01-01')"
            )
        )
    await SCHEMA.upgrade(database)
    async with database.engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM users")) == 1


async def test_a_schema_of_a_newer_version_is_left_alone(database: Database) -> None:
    """A database at a revision that this version does not know is not migrated; the error names a way out."""
    await SCHEMA.upgrade(database)
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'feedbeef'"))
    with pytest.raises(SchemaError, match="revision feedbeef, which a newer version") as caught:
        await SCHEMA.upgrade(database)
    # The revision to go back to is the one that this version serves.
    assert f"`alembic downgrade {scripts(SCHEMA).get_current_head()}`" in str(caught.value)


async def test_serving_refuses_an_old_postgresql_and_says_what_to_run(postgres_url: str) -> None:
    """On PostgreSQL the service does not start on a schema that is not current, and names the command."""
    with pytest.raises(SchemaError, match="run `tablestakes migrate`"):
        await start(SERVICE, settings_for(postgres_url))
    database = open_database(settings_for(postgres_url, pool_size=2))
    await SCHEMA.upgrade(database)
    await SCHEMA.require_head(database)
    await database.close()
    await (await start(SERVICE, settings_for(postgres_url))).drain()


async def test_serving_migrates_the_embedded_database(tmp_path: Any) -> None:
    """On SQLite the service makes its own schema when it starts, in a folder with a % and a space too."""
    folder = tmp_path / "50 %s off"
    folder.mkdir()
    app = await start(SERVICE, settings_for(f"sqlite+aiosqlite:///{folder}/new.db"))
    found = await SCHEMA.revisions(app.database)
    assert found.current == found.head != ""
    await app.drain()


async def test_no_id_comes_back_when_a_table_is_written_anew(database: Database, add_revision: AddRevision) -> None:
    """After a revision that changes a column in batch, the id of a deleted last row is not given out again."""
    schema, last = add_revision(
        "with op.batch_alter_table('users') as batch:\n"
        "        batch.alter_column('full_name', type_=sa.String(300), existing_type=sa.String(200))"
    )
    await schema.upgrade(database, last)
    assert [await insert_user(database, name) for name in ("kept", "deleted")] == [1, 2]
    async with database.engine.connect() as connection:
        await connection.execute(text("DELETE FROM users WHERE id = 2"))
    assert (await schema.upgrade(database)).current == "addedaddedad"
    assert await insert_user(database, "after") == 3
    async with database.engine.connect() as connection:
        await connection.execute(text("DELETE FROM users WHERE id = 3"))
    # It goes on counting, and does not only remember.
    assert await insert_user(database, "much_later") == 4


@pytest.mark.parametrize("patient", [True, False])
async def test_a_step_may_take_longer_than_a_statement(
    postgres_url: str, add_revision: AddRevision, *, patient: bool
) -> None:
    """A migration has no statement timeout, neither the server's nor the driver's; the service has one."""
    # Longer than the bound of the driver too, which is two seconds after the server's. The bound of an idle
    # transaction is twice the server's: a slow process is not to reach it.
    schema, last = add_revision("op.execute('SELECT pg_sleep(3.5)')")
    settings = settings_for(postgres_url, pool_size=2, statement_timeout=1.3)
    before = open_database(settings, patient=True)
    await schema.upgrade(before, last)
    await before.close()
    database = open_database(settings, patient=patient)
    try:
        if patient:
            assert (await schema.upgrade(database)).current == "addedaddedad"
        else:
            with pytest.raises(DBAPIError) as caught:
                await schema.upgrade(database)
            fault = diagnose(caught.value)
            assert fault is not None
            assert fault.kind is FaultKind.TIMEOUT
            assert (await schema.revisions(database)).current == last
    finally:
        await database.close()


async def test_a_newer_schema_is_served_with_a_warning(database: Database) -> None:
    """A revision that this version does not know is a newer one's: it is served, and the log says so."""
    await SCHEMA.upgrade(database)
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'feedbeef'"))
    with capture_logs() as lines:
        await SCHEMA.require_head(database)
    head = scripts(SCHEMA).get_current_head()
    told = {"event": "schema of a newer version", "log_level": "warning", "revision": "feedbeef", "serves": head}
    assert told in lines


async def test_an_older_schema_is_refused(database: Database) -> None:
    """A revision that this version knows and is past is refused, with both revisions and the command to run."""
    oldest = scripts(SCHEMA).get_base()
    assert oldest is not None
    await SCHEMA.upgrade(database, oldest)
    with pytest.raises(SchemaError, match=f"at revision {oldest} and .* run `tablestakes migrate`"):
        await SCHEMA.require_head(database)


async def test_the_service_starts_on_a_newer_postgresql(postgres_url: str) -> None:
    """During a release the old version starts, and answers, on the schema that the new one made."""
    settings = settings_for(postgres_url, pool_size=2)
    database = open_database(settings)
    await SCHEMA.upgrade(database)
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'feedbeef'"))
    await database.close()
    app = await start(SERVICE, settings)
    try:
        async with grpc.aio.insecure_channel(app.address) as channel:
            users = user_pb2_grpc.UserServiceStub(channel)
            assert await users.ListUsers(user_pb2.ListUsersRequest()) == user_pb2.ListUsersResponse()
    finally:
        await app.drain()
