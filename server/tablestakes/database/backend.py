"""A kind of database: the particulars of it that the engine must know."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tablestakes.database.budget import Limit
from tablestakes.database.risk import Risk
from tablestakes.settings import Settings

# How long a migrator waits for another one, and how often it asks, in seconds.
MIGRATORS_SECONDS, MIGRATORS_POLL_SECONDS = 300.0, 0.2


class CreateEngine(Protocol):
    """Makes an engine whose connections are in autocommit."""

    def __call__(self, settings: Settings, *, patient: bool) -> AsyncEngine:
        """Return the engine.

        Args:
            settings: The settings.
            patient: Whether statements may take as long as they take, as those of a migration do.
        """


class BeginSnapshot(Protocol):
    """Begins a transaction in which every statement sees the same state of the database."""

    def __call__(self, connection: Connection, *, seconds: float) -> AbstractContextManager[Connection]:
        """Return the transaction, which gives the connection to read on.

        Args:
            connection: A connection in autocommit.
            seconds: How long the transaction may be idle: as long as whoever reads may be slow.
        """


@dataclass(frozen=True)
class Backend:
    """A kind of database.

    Attributes:
        name: The name of its SQLAlchemy dialect.
        create_engine: Makes the engine that serves.
        create_reading_engine: Makes the engine for work that only reads, None where the first one serves it too.
        create_explaining_engine: Makes the engine that is asked for the plans of slow statements, None where the
            database of the settings cannot be asked.
        isolation_level: The isolation level of a transaction, by SQLAlchemy's name.
        snapshot: Begins a transaction that only reads, and sees one state of the database.
        groups_commits: Whether there is one writer at a time, whose writes share transactions.
        embedded: Whether the database is a part of this process: nobody else migrates it, so the service does.
        migrators_lock: Keeps every other migrator out, for as long as it is entered.
        migrating: Prepares a connection for the statements of a migration, for as long as it is entered.
        find_risks: Finds the settings of a server that put data at risk.
        find_limit: Finds how many connections there may be, None where that is only up to the service.
    """

    name: str
    create_engine: CreateEngine
    create_reading_engine: Callable[[Settings], AsyncEngine | None]
    create_explaining_engine: Callable[[Settings], AsyncEngine | None]
    isolation_level: Any
    snapshot: BeginSnapshot
    groups_commits: bool
    embedded: bool
    migrators_lock: Callable[[AsyncEngine], AbstractAsyncContextManager[None]]
    migrating: Callable[[AsyncConnection], AbstractAsyncContextManager[None]]
    find_risks: Callable[[Connection], Sequence[Risk]]
    find_limit: Callable[[Connection], Limit | None]
