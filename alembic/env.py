"""How Alembic reaches the database, and how it compares it with the models.

`tablestakes migrate` hands over a connection; the `alembic` command makes one from the settings.
"""

import asyncio
from typing import Any

from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection, DateTime
from sqlalchemy.types import TypeDecorator

from alembic import context
from server.database import open_database
from server.models import Base
from server.settings import load


def render_item(kind: str, item: Any, _: AutogenContext) -> str | bool:
    """Write a type of ours as what it is on the database: a migration must not change when our code does."""
    if kind == "type" and isinstance(item, DateTime):
        return f"sa.DateTime(timezone={item.timezone})"
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl_instance!r}"
    return False


def run(connection: Connection) -> None:
    """Run what the command asks for on a connection."""
    sqlite = connection.dialect.name == "sqlite"
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        render_as_batch=sqlite,
        # SQLite can undo DDL as well as PostgreSQL can: a migration that fails leaves nothing behind.
        transactional_ddl=True,
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_run() -> None:
    """Run it on a connection of our own."""
    database = open_database(load())
    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="SERIALIZABLE")
        await connection.run_sync(run)
    await database.close()


if (given := context.config.attributes.get("connection")) is not None:
    run(given)
else:
    asyncio.run(connect_and_run())
