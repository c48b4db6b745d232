"""The database that works are run on: an engine in autocommit, and the few ways to run something on it."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util.concurrency import greenlet_spawn

from tablestakes.database.backend import Backend
from tablestakes.database.budget import Budget
from tablestakes.database.fault import FaultKind, diagnose
from tablestakes.database.group_commit import GroupCommit
from tablestakes.database.postgresql import POSTGRESQL
from tablestakes.database.snapshot import Gathered, Read, Snapshot, Steps
from tablestakes.database.sqlite import SQLITE
from tablestakes.database.unit import Unit, current_unit
from tablestakes.settings import Settings

log = structlog.get_logger()

T = TypeVar("T")
BACKENDS = {backend.name: backend for backend in (POSTGRESQL, SQLITE)}

# The longest pause before each new try, in seconds; the first is short, for most collisions are over at once.
RETRY_SECONDS = (0.02, 0.1, 0.4)


@dataclass(frozen=True)
class Database:
    """An open database.

    Its connections are in autocommit: a statement by itself is one round trip, where BEGIN and COMMIT around it
    would make it three.

    Attributes:
        engine: The engine and its pool; the writes' where there is another one for reads.
        backend: The kind of database.
        reading: The engine that work runs on that only reads, None where the first one serves it too.
        writer: Runs the work that writes, None where each runs on a connection of its own.
    """

    engine: AsyncEngine
    backend: Backend
    reading: AsyncEngine | None = None
    writer: GroupCommit | None = None

    @property
    def engines(self) -> dict[str, AsyncEngine]:
        """Its engines, by the name of their pool in metrics."""
        return {"default": self.engine} | ({} if self.reading is None else {"reading": self.reading})

    async def run(self, work: Callable[[Connection], T], *, reads: bool = False) -> T:
        """Run statements in autocommit, each by itself, and return the work's result.

        When a statement was undone for another transaction's sake (a deadlock), or was prepared for an older schema
        and did not run, the work is done again as `transact` does it. So it may write once only: the statements
        before the one that was undone have been committed.

        Args:
            work: A plain function of a connection. It runs in a greenlet of its own, in which waiting for the
                driver looks like a call; it must not wait for anything else.
            reads: Whether it only reads: then it may run on a connection that cannot write.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: The database's or the pool's error; see `diagnose`.
        """
        if self.writer is not None and not (reads and self.reading is not None):
            return await self.writer.write(work, atomic=False)
        return await self._retried(partial(self._run, work))

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run statements in one transaction, which is committed when the work returns and undone when it raises.

        When another transaction is in the way (a deadlock, a serialization failure), or the schema changed under a
        prepared statement, all of the work is done again: up to three times, each after a random pause. Only what
        is known to have been undone is done again.

        Args:
            work: A plain function of a connection, as for `run`.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: The database's or the pool's error; see `diagnose`.
        """
        return await self._transacted(work, keep=True)

    async def rehearse(self, work: Callable[[Connection], T]) -> T:
        """Run statements in one transaction that is always undone, and return the work's result.

        Args:
            work: A plain function of a connection, as for `run`.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: As `transact`.
        """
        return await self._transacted(work, keep=False)

    def snapshot(self, read: Read[T], seconds: float) -> Steps[T]:
        """Return what reads step by step, in one consistent snapshot; its first step checks a connection out.

        Args:
            read: A plain generator function of a connection, which only reads.
            seconds: How long it may take; the database ends the transaction by itself soon after.
        """
        if self.writer is not None and self.reading is None:
            return Gathered(lambda: self.run(lambda connection: list(read(connection)), reads=True))
        return Snapshot(self.reading or self.engine, partial(self.backend.snapshot, seconds=seconds), read)

    async def _transacted(self, work: Callable[[Connection], T], *, keep: bool) -> T:
        if self.writer is not None:
            return await self.writer.write(work, atomic=True, keep=keep)  # nothing else is ever in its way
        return await self._retried(partial(self._transact, work, keep=keep))

    async def _retried(self, run: Callable[[], T]) -> T:
        for pause in RETRY_SECONDS:
            try:
                return await greenlet_spawn(run)
            except SQLAlchemyError as error:
                fault = diagnose(error)
                if fault is None or fault.kind not in (FaultKind.CONFLICT, FaultKind.STALE):
                    raise
                if (unit := current_unit.get()) is not None:
                    unit.undone()
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - it need not be hard to guess
        return await greenlet_spawn(run)

    def _run(self, work: Callable[[Connection], T]) -> T:
        # Check-out, statements and check-in in one greenlet: an AsyncConnection switches into a new one for
        # each of them, which measures as a quarter more CPU for a statement.
        with (self.reading or self.engine).sync_engine.connect() as connection:
            if (unit := current_unit.get()) is not None:
                unit.begin()
                unit.may_apply = True
            return work(connection)

    def _transact(self, work: Callable[[Connection], T], *, keep: bool) -> T:
        unit = current_unit.get() or Unit()
        with self.engine.sync_engine.connect() as connection:
            unit.begin()
            transaction = connection.execution_options(isolation_level=self.backend.isolation_level).begin()
            try:
                result = work(connection)
            except BaseException:
                transaction.rollback()
                raise
            if keep:
                unit.may_apply = True
                transaction.commit()
            else:
                transaction.rollback()
            return result

    async def warn_of_risks(self) -> None:
        """Log a line for each setting of the server that puts data at risk."""
        for risk in await self.run(self.backend.find_risks, reads=True):
            log.warning("database at risk", setting=risk.setting, value=risk.value, consequence=risk.consequence)

    async def check_budget(self, replicas: int, each: int) -> Budget:
        """Return the connection budget, and log it: as a risk where the database has fewer connections.

        Args:
            replicas: The most processes of the service at once.
            each: The most connections of one.
        """
        budget = Budget(replicas, each, await self.run(self.backend.find_limit, reads=True))
        if (limit := budget.limit) is None:
            return budget
        if budget.exceeds:
            value = str(limit.connections)
            log.warning("database at risk", setting=limit.setting, value=value, consequence=budget.exceeds)
        else:
            log.info(
                "connection budget",
                connections=budget.planned,
                replicas=replicas,
                each=each,
                limit=limit.connections,
                set_by="the pooler" if limit.pooled else limit.setting,
            )
        return budget

    async def close(self) -> None:
        """Close every connection of the pools."""
        if self.writer is not None:
            await self.writer.ended()
        # The writes' last: the last connection to be closed checkpoints, which a reader cannot.
        for engine in reversed(self.engines.values()):
            await engine.dispose()


def backend_of(settings: Settings) -> Backend:
    """Return the kind of database that the settings name."""
    return BACKENDS[settings.url.get_backend_name()]


def open_database(settings: Settings, *, patient: bool = False) -> Database:
    """Return the database of the settings; nothing connects before the first statement.

    Args:
        settings: The settings.
        patient: Whether statements may take as long as they take, as those of a migration do.
    """
    backend = backend_of(settings)
    engine = backend.create_engine(settings, patient=patient)
    writer = None
    if backend.groups_commits:
        writer = GroupCommit(engine, backend.isolation_level, settings.default_deadline)
    return Database(engine, backend, backend.create_reading_engine(settings), writer)
