"""Migrations: what they make is what the models say, and they can be run by anyone at any time."""

import asyncio
import os
import sys
from collections.abc import Iterable
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from server.app import start
from server.database import Database, open_database
from server.database.migrate import SchemaError, downgrade, require_head, schema, upgrade
from server.models import Base
from tests.serving import settings_for


@pytest.fixture
async def database(empty_url: str) -> Any:
    """An empty database, open."""
    opened = open_database(settings_for(empty_url, pool_size=2))
    yield opened
    await opened.close()


async def in_sync(engine: AsyncEngine, function: Any) -> Any:
    """Run a function of a plain connection."""
    async with engine.connect() as connection:
        return await connection.run_sync(function)


def differences(connection: Connection) -> list[Any]:
    """Return what Alembic would change to make the database what the models say."""
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    # The tests' own tables share the models' metadata once they are imported.
    own = [table for table in Base.metadata.sorted_tables if table.name != "gadgets"]
    models = MetaData(naming_convention=Base.metadata.naming_convention)
    for table in own:
        table.to_metadata(models)
    return list(compare_metadata(context, models))


def tables(connection: Connection) -> Iterable[str]:
    """Return the names of the tables."""
    return sorted(inspect(connection).get_table_names())


async def test_migrations_make_what_the_models_say(database: Database) -> None:
    """After every migration Alembic finds no difference between the database and the models."""
    await upgrade(database.engine)
    assert await in_sync(database.engine, differences) == []


async def test_a_difference_would_be_found(database: Database) -> None:
    """The comparison sees a column that no migration made: the test above can fail."""
    await upgrade(database.engine)
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE users ADD COLUMN stray INTEGER"))
    assert [change[0] for change in await in_sync(database.engine, differences)] == ["remove_column"]


async def test_up_and_down_and_up_again(database: Database) -> None:
    """A downgrade to nothing leaves no table behind, and an upgrade after it makes the same schema."""
    head = (await upgrade(database.engine)).current
    made = await in_sync(database.engine, tables)
    assert (await downgrade(database.engine, "base")).current == ""
    assert await in_sync(database.engine, tables) == ["alembic_version"]
    assert (await upgrade(database.engine)).current == head
    assert await in_sync(database.engine, tables) == made
    assert await in_sync(database.engine, differences) == []


async def test_many_migrators_at_once_apply_each_step_once(empty_url: str, database: Database) -> None:
    """Eight processes that migrate at the same time all succeed, and leave the schema at its one head."""
    processes = await asyncio.gather(*(_start_migrating(empty_url) for _ in range(8)))
    try:
        async with asyncio.timeout(60):
            told = await asyncio.gather(*(process.communicate() for process in processes))
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
    errors = [errors.decode() for _, errors in told]
    assert [process.returncode for process in processes] == [0] * len(processes), errors
    found = await schema(database.engine)
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
    """Migrating twice is migrating once, and what is in the tables stays."""
    await upgrade(database.engine)
    async with database.engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO users (email, username, full_name, active, create_time, update_time)"
                " VALUES ('kept@example.com', 'kept', '', true, '2026-01-01', '2026-01-01')"
            )
        )
    await upgrade(database.engine)
    async with database.engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM users")) == 1


async def test_a_schema_of_a_newer_version_is_left_alone(database: Database) -> None:
    """A database at a revision that this version does not know is not migrated, and the error says why."""
    await upgrade(database.engine)
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'feedbeef'"))
    with pytest.raises(SchemaError, match="revision feedbeef, which a newer version"):
        await upgrade(database.engine)


async def test_serving_refuses_an_old_postgresql_and_says_what_to_run(postgres_url: str) -> None:
    """On PostgreSQL the service does not start on a schema that is not current, and names the command."""
    with pytest.raises(SchemaError, match="run `tablestakes migrate`"):
        await start(settings_for(postgres_url))
    database = open_database(settings_for(postgres_url, pool_size=2))
    await upgrade(database.engine)
    await require_head(database.engine)
    await database.close()
    await (await start(settings_for(postgres_url))).drain()


async def test_serving_migrates_the_embedded_database(tmp_path: Any) -> None:
    """On SQLite the service makes its own schema when it starts, in a folder with a % and a space too."""
    folder = tmp_path / "50 %s off"
    folder.mkdir()
    app = await start(settings_for(f"sqlite+aiosqlite:///{folder}/new.db"))
    found = await schema(app.database.engine)
    assert found.current == found.head != ""
    await app.drain()
