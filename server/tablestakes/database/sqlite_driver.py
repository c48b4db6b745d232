"""aiosqlite with one visit to the connection's thread for each statement.

SQLAlchemy's adapter makes a cursor, executes, fetches all rows and closes the cursor: four visits, each of which
wakes the thread and then the event loop. That costs more than a short statement itself.
"""

import sqlite3
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Any, Self

import aiosqlite

# Rows that aiosqlite fetches at a time where it iterates, which nothing here does.
CHUNK = 64


class Cursor:
    """A cursor that fetches the rows of a statement as it executes it.

    Args:
        connection: The connection.

    Attributes:
        description: The columns of the result, None without one.
        rowcount: How many rows the statement changed, -1 where it changes none.
        lastrowid: The id of the row that was inserted last.
        arraysize: How many rows `fetchmany` returns by default.
    """

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._rows: deque[Any] = deque()
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def execute(self, statement: str, parameters: Iterable[Any] = ()) -> Self:
        """Execute a statement, and fetch its rows."""
        return await self._visit(sqlite3.Cursor.execute, statement, parameters)

    async def executemany(self, statement: str, parameters: Iterable[Iterable[Any]]) -> Self:
        """Execute a statement with each of several sets of parameters."""
        return await self._visit(sqlite3.Cursor.executemany, statement, parameters)

    async def _visit(self, execute: Any, statement: str, parameters: Iterable[Any]) -> Self:
        self._rows, self.description, self.rowcount, self.lastrowid = await self._connection.visit(
            execute, statement, parameters
        )
        return self

    async def fetchone(self) -> Any:
        """Return the next row, None where there is none left."""
        return self._rows.popleft() if self._rows else None

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return some of the rows that are left."""
        count = min(len(self._rows), self.arraysize if size is None else size)
        return [self._rows.popleft() for _ in range(count)]

    async def fetchall(self) -> deque[Any]:
        """Return the rows that are left."""
        rows, self._rows = self._rows, deque()
        return rows

    async def close(self) -> None:
        """Forget the rows; SQLite's own cursor is closed already."""
        self._rows = deque()


class Connection(aiosqlite.Connection):
    """An aiosqlite connection that makes such cursors.

    Attributes:
        streams: Whether it makes aiosqlite's own cursors instead, which fetch rows as they are asked for.
    """

    streams = False

    def cursor(self) -> Any:
        """Return a cursor; SQLite's own is made when it executes something."""
        return super().cursor() if self.streams else Cursor(self)

    async def visit(
        self, execute: Any, statement: str, parameters: Iterable[Any]
    ) -> tuple[deque[Any], Any, int, int | None]:
        """Execute a statement in the connection's thread, and return the attributes of its cursor."""
        visit: Any = self._execute
        found: tuple[deque[Any], Any, int, int | None] = await visit(
            partial(_execute, self._conn, execute, statement, parameters)
        )
        return found


def _execute(
    connection: sqlite3.Connection, execute: Any, statement: str, parameters: Iterable[Any]
) -> tuple[deque[Any], Any, int, int | None]:
    cursor = connection.cursor()
    try:
        execute(cursor, statement, parameters)
        rows = deque(cursor.fetchall() if cursor.description else ())
        return rows, cursor.description, cursor.rowcount, cursor.lastrowid
    finally:
        cursor.close()


def connect(database: str, **options: Any) -> Connection:
    """Return a connection to await, as `aiosqlite.connect` does; SQLAlchemy's `async_creator_fn`.

    Args:
        database: The file, or its URI.
        options: Those of `sqlite3.connect`.
    """
    connection = Connection(partial(sqlite3.connect, database, **options), CHUNK)
    # As SQLAlchemy sets it: a process can end whose connections were never closed.
    connection._thread.daemon = True
    return connection
