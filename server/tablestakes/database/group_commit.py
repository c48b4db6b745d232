"""Writes that wait for the one write connection of SQLite share a transaction, and with it one sync of the disk."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util.concurrency import greenlet_spawn

from tablestakes.database.deadline import last_moment
from tablestakes.database.fault import FaultKind, diagnose
from tablestakes.database.waiting_write import WaitingWrite, in_transaction

T = TypeVar("T")

# The most writes of one transaction: the first of them waits for the last.
MOST = 128


class GroupCommit:
    """Runs writes one after another, in the order in which they came, several to a transaction.

    The first write that comes checks the connection out; it goes back once no write waits. A write that comes while
    others run joins their transaction, until the COMMIT is sent. No write is answered before the COMMIT has
    returned; when it fails, each write of the transaction gets its error. A write that fails by itself undoes its
    own statements alone.

    Args:
        engine: An engine with one connection, which nothing else uses while writes run.
        isolation_level: The isolation level of a transaction, by SQLAlchemy's name.
        patience: The seconds that a write may wait to begin where its caller set no deadline.
    """

    def __init__(self, engine: AsyncEngine, isolation_level: Any, patience: float) -> None:
        self._engine = engine.sync_engine
        self._isolation_level = isolation_level
        self._patience = patience
        self._waiting: deque[WaitingWrite[Any]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def write(self, work: Callable[[Connection], T], *, atomic: bool, keep: bool = True) -> T:
        """Run work that writes, and return its result once it is committed.

        Args:
            work: A plain function of a connection, as for `Database.run`.
            atomic: Whether all of its statements are undone when it raises; without it only the one that failed is.
            keep: Whether its statements take effect; without it they are all undone when it returns.

        Raises:
            sqlalchemy.exc.TimeoutError: It was not begun by its deadline, and never will be.
            sqlalchemy.exc.SQLAlchemyError: The database's error, of a statement or of the COMMIT.
            Exception: The work's own.
        """
        write = WaitingWrite(work, savepoint=atomic or not keep, keep=keep)
        write.expire_at(last_moment(self._patience))
        self._waiting.append(write)
        if self._running is None:
            # It waits in its own checkout, which the pool reports.
            self._start()
        else:
            write.report_wait(self._engine.pool)
        try:
            return await write.outcome
        except asyncio.CancelledError:
            write.abandon()
            raise

    async def ended(self) -> None:
        """Wait until no write runs or waits, and the connection is back in the pool."""
        while self._running is not None:
            await asyncio.wait((self._running,))

    def _start(self) -> None:
        # A task of its own: the transaction goes on when the caller that began it is cancelled.
        self._running = asyncio.ensure_future(greenlet_spawn(self._run))
        self._running.add_done_callback(self._on_done)

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        self._running = None
        if task.cancelled():  # the event loop is being closed
            for write in self._waiting:
                write.outcome.cancel()
        elif first := self._first():
            first.forget_wait()
            first.context.run(self._start)

    def _first(self) -> WaitingWrite[Any] | None:
        """Return the first write that still waits."""
        while self._waiting and self._waiting[0].outcome.done():
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None

    def _run(self) -> None:
        try:
            with self._engine.connect() as connection:
                each = connection.execution_options(isolation_level=self._isolation_level)
                # The BEGIN and the COMMIT are the first write's, in a copy of its context: it runs inside of them.
                while (first := self._first()) and first.context.copy().run(self._transact, each):
                    pass
        except Exception as error:  # noqa: BLE001 - no connection: it is the outcome of those that wait
            while first := self._first():
                first.fail(error)

    def _transact(self, connection: Connection) -> bool:
        """Run the writes that wait in one transaction, and return whether the connection is fit for another."""
        begun: list[WaitingWrite[Any]] = []
        try:
            transaction = connection.begin()
            while write := self._joining(begun):
                begun.append(self._waiting.popleft())
                write.run(connection)
            transaction.commit()
        except Exception as error:  # noqa: BLE001 - it is the outcome of each write
            self._on_error(connection, begun, error)
            return False
        except BaseException:
            for write in begun:
                write.outcome.cancel()
            raise
        for write in begun:
            write.finish()
        return True

    def _on_error(self, connection: Connection, begun: list[WaitingWrite[Any]], error: Exception) -> None:
        if in_transaction(connection):
            # A COMMIT that failed leaves the transaction open, and the driver would commit it as the connection
            # goes back to autocommit.
            connection.dialect.do_rollback(connection.connection)
        if isinstance(error, IntegrityError) and len(begun) > 1:
            # A constraint that is checked at the COMMIT, and nobody tells whose: each on its own will tell.
            for write in reversed(begun):
                write.run_again_alone()
                self._waiting.appendleft(write)
        elif begun:
            for write in begun:
                write.fail(error)
        elif not _is_busy(error) and (first := self._first()):
            # Where it is busy another process has the write lock, and each write waits on until its deadline.
            first.fail(error)

    def _joining(self, begun: list[WaitingWrite[Any]]) -> WaitingWrite[Any] | None:
        """Return the write that is next in a transaction, None where it is complete."""
        write = self._first()
        if write is None or not begun:
            return write
        return None if len(begun) == MOST or begun[-1].alone or write.alone else write


def _is_busy(error: Exception) -> bool:
    fault = diagnose(error) if isinstance(error, DBAPIError) else None
    return fault is not None and fault.kind is FaultKind.CONFLICT
