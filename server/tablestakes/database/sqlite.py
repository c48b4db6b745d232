"""SQLite, the embedded default: one connection, and with it one writer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any
from urllib.parse import quote

import structlog
from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from tablestakes.database.backend import Backend
from tablestakes.settings import Settings
from tablestakes.telemetry import AsyncTimedQueuePool

PRAGMAS = {
    # Milliseconds to wait for a writer of another process; first, so that it holds for the next ones.
    "busy_timeout": "5000",
    # Readers of other processes do not wait for the writer.
    "journal_mode": "WAL",
    # Every commit reaches the disk: an acknowledged write outlives a loss of power.
    "synchronous": "FULL",
    # Off by default, and per connection.
    "foreign_keys": "ON",
}


def create_engine(settings: Settings, *, patient: bool = False) -> AsyncEngine:  # noqa: ARG001 - nothing ends a statement
    """Return an engine with exactly one connection.

    SQLite has one writer at a time whatever the pool holds; several connections would only wait for each other
    by polling. And before 3.51.3 two of them that write and checkpoint in WAL mode can corrupt the file.
    """
    engine = create_async_engine(
        settings.url,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        # For a file and for memory: a database in memory lives as long as its one connection.
        poolclass=AsyncTimedQueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=settings.pool_timeout,
    )
    event.listen(engine.sync_engine, "connect", _on_connect)
    event.listen(engine.sync_engine, "begin", _on_begin)
    structlog.get_logger().debug(
        "database",
        system="sqlite",
        version=".".join(map(str, engine.dialect.dbapi.sqlite_version_info)),  # type: ignore[union-attr]
    )
    return engine


def create_explaining_engine(settings: Settings) -> AsyncEngine | None:
    """Return an engine to ask for plans with, which only reads; None for a database in memory."""
    path = settings.url.database
    if not path or path == ":memory:" or path.startswith("file:"):
        return None
    # Read-only: a second connection must neither write nor checkpoint as it closes.
    read_only = settings.url.set(database=f"file:{quote(path)}", query={"mode": "ro", "uri": "true"})
    return create_async_engine(read_only, poolclass=NullPool)


def _on_connect(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor: Any = connection.cursor()
    for name, value in PRAGMAS.items():
        cursor.execute(f"PRAGMA {name}={value}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    # SQLAlchemy begins a transaction in autocommit too, and then there must be none. The connection's options tell;
    # `get_isolation_level` would ask the database, which knows no autocommit.
    if connection.get_execution_options().get("isolation_level", "AUTOCOMMIT") != "AUTOCOMMIT":
        # Python's driver would begin none before a SELECT or DDL, and a deferred one before anything else: it
        # reads first, and fails without waiting when it comes to write after another has written.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@asynccontextmanager
async def migrating(connection: AsyncConnection) -> AsyncIterator[None]:
    """Switch foreign keys off, for as long as it is entered.

    SQLite changes a table by writing it anew and dropping the old one, which must not reach the rows that refer to
    it. The setting is the connection's, and cannot be changed inside a transaction.
    """
    await connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
    await connection.rollback()
    try:
        yield
    finally:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.exec_driver_sql("PRAGMA foreign_keys=ON")


SQLITE = Backend(
    name="sqlite",
    create_engine=create_engine,
    create_explaining_engine=create_explaining_engine,
    isolation_level="SERIALIZABLE",
    embedded=True,
    # Each migration's transaction has the one write lock of the file.
    migrators_lock=lambda _: nullcontext(),
    migrating=migrating,
)
