"""How Alembic reaches the database, and how it compares it with the models.

`tablestakes migrate` hands over a connection; the `alembic` command makes one from the settings.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection, DateTime, Table, event, text
from sqlalchemy.types import TypeDecorator

from alembic import context
from tablestakes.database import open_database
from marketplace_service.models import Base
from tablestakes.settings import load


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
    with context.begin_transaction(), keeping_serials(connection) if sqlite else nullcontext():
        context.run_migrations()


@contextmanager
def keeping_serials(connection: Connection) -> Iterator[None]:
    """Let no id that was ever given out be given out again, where a table is written anew to change it on SQLite.

    Alembic copies the rows into a table that it makes from what SQLite tells of the old one, which is neither that
    it counts nor how far it has counted.
    """
    event.listen(Table, "before_create", _count)
    counted = _serials(connection)
    try:
        yield
    finally:
        event.remove(Table, "before_create", _count)
    now = _serials(connection)
    for table, serial in counted.items():
        if table in now and now[table] < serial:
            statement = text("UPDATE sqlite_sequence SET seq = :serial WHERE name = :table")
            connection.execute(statement, {"serial": serial, "table": table})


def _count(table: Table, _connection: Connection, **_: Any) -> None:
    key = list(table.primary_key.columns)
    if table.name.startswith("_alembic_tmp_") and len(key) == 1 and key[0].type.python_type is int:
        table.dialect_kwargs["sqlite_autoincrement"] = True


def _serials(connection: Connection) -> dict[str, int]:
    if not connection.scalar(text("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'")):
        return {}
    return dict(tuple(row) for row in connection.execute(text("SELECT name, seq FROM sqlite_sequence")))


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
