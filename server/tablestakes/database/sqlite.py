"""SQLite, the embedded default: one connection that writes, and others that can only read.

Before 3.51.3 (3.50.7 and 3.44.6 have the correction too) two connections that write or checkpoint at the same
instant can corrupt a file in WAL mode (sqlite.org/wal.html, the WAL-reset bug). So one connection writes, and with
it checkpoints, in all versions. A connection with `mode=ro` never does: a checkpoint begins after a COMMIT, which
it cannot send; by a PRAGMA, which nothing here sends; or when the last connection is closed, and then only under an
exclusive lock, which a file that is open for reading alone cannot have. It marks in the shared memory how far it
reads, which holds a checkpoint back, and takes no part in one. So readers are safe in all versions too, 3.40.1
among them.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import structlog
from sqlalchemy import URL, Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from tablestakes.database.backend import MIGRATORS_POLL_SECONDS, MIGRATORS_SECONDS, Backend
from tablestakes.database.file_lock import MIGRATES, SERVES, DatabaseInUseError, FileLock
from tablestakes.database.sqlite_driver import connect
from tablestakes.settings import Settings
from tablestakes.telemetry import AsyncTimedQueuePool

PRAGMAS = {
    # Milliseconds to wait for a writer of another process; first, so that it holds for the next ones. Short: after
    # it, a write waits again if its deadline has not come.
    "busy_timeout": "500",
    # Readers of other processes do not wait for the writer.
    "journal_mode": "WAL",
    # Every commit reaches the disk: an acknowledged write outlives a loss of power.
    "synchronous": "FULL",
    # Off by default, and per connection.
    "foreign_keys": "ON",
}


def create_engine(settings: Settings, *, patient: bool = False) -> AsyncEngine:
    """Return an engine with exactly one connection.

    SQLite has one writer at a time whatever the pool holds; several connections would only wait for each other
    by polling. From its first connect until it is disposed of no other process can have such an engine on the file.

    Args:
        settings: The settings.
        patient: Whether it migrates, and so waits longer for another process's write lock.
    """
    engine = create_async_engine(
        settings.url,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        connect_args={"async_creator_fn": connect},
        # For a file and for memory: a database in memory lives as long as its one connection.
        poolclass=AsyncTimedQueuePool,
        pool_size=1,
        max_overflow=0,
        # Each write that waits for it has a deadline of its own.
        pool_timeout=None,
    )
    event.listen(engine.sync_engine, "connect", _on_connect_patient if patient else _on_connect)
    event.listen(engine.sync_engine, "begin", _on_begin)
    if (file := _locked_file(settings.url)) is not None:
        lock = FileLock(file, MIGRATES if patient else SERVES)
        event.listen(engine.sync_engine, "do_connect", lambda *_: lock.acquire())
        event.listen(engine.sync_engine, "engine_disposed", lambda _: lock.release())
    structlog.get_logger().debug(
        "database",
        system="sqlite",
        version=".".join(map(str, engine.dialect.dbapi.sqlite_version_info)),  # type: ignore[union-attr]
    )
    return engine


def create_reading_engine(settings: Settings) -> AsyncEngine | None:
    """Return an engine whose connections only read; None for a database in memory.

    They wait neither for a write nor for the write lock of another process.
    """
    read_only = _read_only(settings)
    if read_only is None:
        return None
    engine = create_async_engine(
        read_only,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        connect_args={"async_creator_fn": connect},
        poolclass=AsyncTimedQueuePool,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.pool_timeout,
        pool_use_lifo=True,
    )
    event.listen(engine.sync_engine, "connect", _on_connect_reader)
    return engine


def create_explaining_engine(settings: Settings) -> AsyncEngine | None:
    """Return an engine to ask for plans with, which only reads; None for a database in memory."""
    read_only = _read_only(settings)
    return None if read_only is None else create_async_engine(read_only, poolclass=NullPool)


def _read_only(settings: Settings) -> URL | None:
    path = settings.url.database
    if not path or path == ":memory:" or path.startswith("file:"):
        return None
    # An empty authority, for a path may begin with two slashes.
    return settings.url.set(
        database=f"file://{quote(str(Path(path).absolute()))}", query={"mode": "ro", "uri": "true"}
    )


def _locked_file(url: URL) -> Path | None:
    """Return the file that an engine of this URL can write to, None for a database in memory."""
    name, query = url.database or ":memory:", url.query
    if query.get("uri") == "true" and name.startswith("file:"):
        name = unquote(re.sub(r"^file:(//[^/]*)?", "", name))
    writable = query.get("mode") not in ("memory", "ro") and "immutable" not in query
    return Path(name).absolute() if writable and name not in ("", ":memory:") else None


def _on_connect(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    _set(connection, PRAGMAS)


def _on_connect_patient(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    _set(connection, PRAGMAS | {"busy_timeout": "5000"})


def _on_connect_reader(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # It waits for nobody but a process that recovers the file after a crash.
    _set(connection, {"busy_timeout": "1000", "query_only": "ON"})


def _set(connection: DBAPIConnection, pragmas: Mapping[str, str]) -> None:
    cursor: Any = connection.cursor()
    for name, value in pragmas.items():
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
async def migrators_lock(engine: AsyncEngine) -> AsyncIterator[None]:
    """Take the lock of the engine's file, after other migrators; it is released with the engine.

    Raises:
        DatabaseInUseError: Another process serves the file, or has been migrating it for too long.
    """
    until = asyncio.get_running_loop().time() + MIGRATORS_SECONDS
    while True:
        try:
            async with engine.connect():
                break
        except DatabaseInUseError as error:
            if not error.briefly or asyncio.get_running_loop().time() > until:
                raise
        await asyncio.sleep(MIGRATORS_POLL_SECONDS)
    yield


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


@contextmanager
def snapshot(connection: Connection, *, seconds: float) -> Iterator[Connection]:  # noqa: ARG001 - nothing ends it
    """Begin a transaction that reads one state of the database, as the first statement finds it.

    Writers go on meanwhile; what they write stays in the write-ahead log until the transaction ends.
    """
    driver: Any = connection.connection.driver_connection
    connection.exec_driver_sql("BEGIN")
    driver.streams = True
    try:
        yield connection
    finally:
        driver.streams = False
        connection.exec_driver_sql("ROLLBACK")


SQLITE = Backend(
    name="sqlite",
    create_engine=create_engine,
    create_reading_engine=create_reading_engine,
    create_explaining_engine=create_explaining_engine,
    isolation_level="SERIALIZABLE",
    snapshot=snapshot,
    groups_commits=True,
    embedded=True,
    migrators_lock=migrators_lock,
    migrating=migrating,
    # Its settings are all made here.
    find_risks=lambda _: (),
    find_limit=lambda _: None,
)
