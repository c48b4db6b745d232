"""Alembic's environment: the `env.py` of a service's migrations calls `run`."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

from alembic.autogenerate.api import AutogenContext
from sqlalchemy import JSON, Connection, DateTime, Interval, MetaData, Table, event, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

from alembic import context
from tablestakes.columns import FixedDecimal
from tablestakes.database.engine import open_database
from tablestakes.settings import Settings


def run(metadata: MetaData, settings: type[Settings]) -> None:
    """Run the migration command that is under way.

    A command of the service hands over its connection; for the `alembic` command one is made from the settings.

    Args:
        metadata: The tables of the models, to compare the database with.
        settings: The service's settings class.
    """
    given = context.config.attributes.get("connection")
    if given is not None:
        _run(given, metadata)
    else:
        asyncio.run(_connect_and_run(settings.load(), metadata))


async def _connect_and_run(settings: Settings, metadata: MetaData) -> None:
    database = open_database(settings)
    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="SERIALIZABLE")
        await connection.run_sync(_run, metadata)
    await database.close()


def _run(connection: Connection, metadata: MetaData) -> None:
    rewrites_tables = not connection.dialect.supports_alter
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        render_as_batch=rewrites_tables,
        # SQLite can undo DDL as well as PostgreSQL can: a migration that fails leaves nothing behind.
        transactional_ddl=True,
        render_item=render_item,
    )
    with context.begin_transaction(), keeping_serials(connection) if rewrites_tables else nullcontext():
        context.run_migrations()


def render_item(kind: str, item: Any, autogenerate: AutogenContext) -> str | Literal[False]:
    """Write a type of ours as the database's type: a migration must not change when our code does."""
    if kind == "type" and isinstance(item, JSON) and _is_jsonb(item):
        autogenerate.imports.add("from sqlalchemy.dialects import postgresql")
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    if kind == "type" and isinstance(item, DateTime):
        return f"sa.DateTime(timezone={item.timezone})"
    if kind == "type" and isinstance(item, FixedDecimal):
        return f'sa.Numeric({item.precision}, {item.scale}).with_variant(sa.Integer(), "sqlite")'
    # SQLAlchemy's own Interval is a decorator too, and is written as what it is.
    if kind == "type" and isinstance(item, TypeDecorator) and not isinstance(item, Interval):
        return f"sa.{item.impl_instance!r}"
    return False


def _is_jsonb(item: JSON) -> bool:
    make_dialect: Any = postgresql.dialect
    return isinstance(item.dialect_impl(make_dialect()), JSONB)


@contextmanager
def keeping_serials(connection: Connection) -> Iterator[None]:
    """Let no id that was ever given out be given out again, where a table is written anew to change it on SQLite.

    Alembic copies the rows into a table that it makes from SQLite's description of the old one, which says neither
    that the table counts nor how far it has counted.
    """
    event.listen(Table, "before_create", _on_before_create)
    counted = _serials(connection)
    try:
        yield
    finally:
        event.remove(Table, "before_create", _on_before_create)
    now = _serials(connection)
    for table, serial in counted.items():
        if table in now and now[table] < serial:
            statement = text("UPDATE sqlite_sequence SET seq = :serial WHERE name = :table")
            connection.execute(statement, {"serial": serial, "table": table})


def _on_before_create(table: Table, _connection: Connection, **_: Any) -> None:
    key = list(table.primary_key.columns)
    if table.name.startswith("_alembic_tmp_") and len(key) == 1 and key[0].type.python_type is int:
        table.dialect_kwargs["sqlite_autoincrement"] = True


def _serials(connection: Connection) -> dict[str, int]:
    if not connection.scalar(text("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'")):
        return {}
    return dict(tuple(row) for row in connection.execute(text("SELECT name, seq FROM sqlite_sequence")))
