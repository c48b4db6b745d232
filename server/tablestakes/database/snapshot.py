"""Reading step by step, in one consistent snapshot of the database."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util.concurrency import greenlet_spawn

from tablestakes.database.unit import Unit, current_unit

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Read = Callable[[Connection], Iterator[T]]
"""A plain generator function of a connection. It waits for nothing but the database."""

Begin = Callable[[Connection], AbstractContextManager[Connection]]
"""Begins a transaction on a connection, and gives the connection to read on."""


class Steps(Protocol[T_co]):
    """The rows of a snapshot, read a step at a time: nothing is read ahead of whoever asks."""

    async def next(self) -> T_co | None:
        """Return what comes next, None after the last."""

    async def close(self) -> None:
        """Give the connection back, once a step that is under way has ended."""


class Snapshot(Generic[T]):
    """Reads in a transaction that sees one state of the database, on a connection that it holds until it is closed.

    Each step runs in a greenlet of its own, and between two of them the connection waits: so a caller who is slow
    holds up nobody else, and nothing is kept for them.

    Args:
        engine: The engine that gives the connection.
        snapshot: Begins the transaction.
        read: Reads.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        snapshot: Callable[[Connection], AbstractContextManager[Connection]],
        read: Read[T],
    ) -> None:
        self._engine = engine.sync_engine
        self._snapshot = snapshot
        self._read = read
        self._items: Iterator[T] | None = None
        self._opened = ExitStack()
        self._step = asyncio.Lock()

    async def next(self) -> T | None:
        """Return what comes next, None after the last; the first step begins the transaction.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: The database's or the pool's error.
            Exception: The reader's own.
        """
        async with self._step:
            return await greenlet_spawn(self._next)

    def _next(self) -> T | None:
        if self._items is None:
            self._items = self._open()
        return next(self._items, None)

    def _open(self) -> Iterator[T]:
        connection = self._opened.enter_context(self._engine.connect())
        (current_unit.get() or Unit()).begin()
        items = self._read(self._opened.enter_context(self._snapshot(connection)))
        # A generator that is left in the middle closes its cursor.
        self._opened.callback(getattr(items, "close", lambda: None))
        return items

    async def close(self) -> None:
        """End the transaction and give the connection back, once a step that is under way has ended.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: The database's error.
        """
        async with self._step:
            self._items = iter(())
            await greenlet_spawn(self._opened.close)


class Gathered(Generic[T]):
    """Reads everything at once: of a database in memory, which has one connection for all that it is asked.

    Args:
        gather: Reads everything, and gives the connection back.
    """

    def __init__(self, gather: Callable[[], Awaitable[list[T]]]) -> None:
        self._gather = gather
        self._items: Iterator[T] | None = None

    async def next(self) -> T | None:
        """Return what comes next, None after the last; the first step reads it all."""
        if self._items is None:
            self._items = iter(await self._gather())
        return next(self._items, None)

    async def close(self) -> None:
        """Do nothing: no connection is held."""
