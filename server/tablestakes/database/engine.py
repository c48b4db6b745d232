"""The database that handlers use: an engine in autocommit, and the few ways to run a statement on it."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util.concurrency import greenlet_spawn

from tablestakes.database import postgresql, sqlite
from tablestakes.database.fault import FaultKind, diagnose
from tablestakes.settings import Settings

T = TypeVar("T")

# The longest pause before each new try, in seconds: the first collision is mostly over at once.
RETRY_SECONDS = (0.02, 0.1, 0.4)


@dataclass(frozen=True)
class Database:
    """An open database.

    Its connections are in autocommit: a statement by itself is one round trip, where BEGIN and COMMIT around it
    would make it three.

    Attributes:
        engine: The engine and its pool.
    """

    engine: AsyncEngine

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run statements in autocommit, each for itself, and return what the work returns.

        Args:
            work: A plain function of a connection. It runs in a greenlet of its own, where the driver's waiting
                looks like a call; it must not wait for anything else.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: What the database or the pool said; see `diagnose`.
        """
        try:
            return await greenlet_spawn(self._run, work)
        except DBAPIError as error:
            fault = diagnose(error)
            if fault is None or fault.kind is not FaultKind.STALE:
                raise
        # The statement was prepared for an older schema and did not run; now it is prepared anew.
        return await greenlet_spawn(self._run, work)

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run statements in one transaction, which is committed when the work returns and undone when it raises.

        When another transaction is in the way (a deadlock, a serialization failure) the whole work is done again,
        a few times, after a moment that is never the same.

        Args:
            work: A plain function of a connection, as for `run`.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: What the database or the pool said; see `diagnose`.
        """
        for pause in RETRY_SECONDS:
            try:
                return await greenlet_spawn(self._transact, work)
            except SQLAlchemyError as error:
                fault = diagnose(error)
                if fault is None or fault.kind not in (FaultKind.CONFLICT, FaultKind.STALE):
                    raise
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - it need not be hard to guess
        return await greenlet_spawn(self._transact, work)

    def _run(self, work: Callable[[Connection], T]) -> T:
        # Check-out, statements and check-in in one greenlet: an AsyncConnection switches into a new one for
        # each of them, which measures as a quarter more CPU for a statement.
        with self.engine.sync_engine.connect() as connection:
            return work(connection)

    def _transact(self, work: Callable[[Connection], T]) -> T:
        with self.engine.sync_engine.connect() as connection:
            level = "SERIALIZABLE" if connection.dialect.name == "sqlite" else "READ COMMITTED"
            with connection.execution_options(isolation_level=level).begin():
                return work(connection)

    async def close(self) -> None:
        """Close every connection of the pool."""
        await self.engine.dispose()


def open_database(settings: Settings, *, patient: bool = False) -> Database:
    """Return the database of the settings; nothing connects before the first statement.

    Args:
        settings: The settings.
        patient: Whether statements may take as long as they take, as those of a migration do.
    """
    if settings.url.get_backend_name() == "sqlite":
        return Database(sqlite.create_engine(settings))
    return Database(postgresql.create_engine(settings, patient=patient))


def open_explaining(settings: Settings) -> AsyncEngine | None:
    """Return an engine to ask the database of the settings for plans with, None if there is no way to.

    Each question has a connection of its own, made by the thread that asks.
    """
    if settings.url.get_backend_name() == "sqlite":
        return sqlite.create_explaining_engine(settings)
    return postgresql.create_explaining_engine(settings)
