"""The sweeping of what was kept for long enough, beside the calls that are served."""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from typing import Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from tablestakes.database import Database

# Seconds between two sweeps, on average: at random, so that replicas do not all sweep at once.
PERIOD = 600.0

log = structlog.get_logger()


class Sweep(Protocol):
    """A kind of rows that are removed once they were kept for long enough."""

    @property
    def what(self) -> str:
        """The name of these rows, for the log."""

    @property
    def batch(self) -> int:
        """How many a sweep removes at most."""

    async def sweep(self, database: Database) -> int:
        """Remove a batch of them, and return how many: at the end fewer than `batch`."""


class Sweeper:
    """Removes what was kept for long enough, from now and then, until it is stopped.

    Args:
        sweeps: What there is to be removed.
        database: The database that keeps it.
        period: The seconds between two sweeps, on average.
    """

    def __init__(self, sweeps: Sequence[Sweep], database: Database, period: float = PERIOD) -> None:
        self._sweeps = sweeps
        self._database = database
        self._period = period
        self._stopped = asyncio.Event()
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Stop, after the batch that is under way."""
        self._stopped.set()
        await self._task

    async def _run(self) -> None:
        while not await self._pause():
            for sweep in self._sweeps:
                try:
                    # Each batch by itself, and calls between them.
                    while not self._stopped.is_set() and await sweep.sweep(self._database) == sweep.batch:
                        pass
                except (SQLAlchemyError, OSError) as error:
                    # The next one will do it; its text may hold values.
                    log.warning("not swept", what=sweep.what, error=type(error).__name__)

    async def _pause(self) -> bool:
        """Wait, and return whether it was stopped."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(0.5, 1.5) * self._period):  # noqa: S311 - it need not be hard to guess
                await self._stopped.wait()
        return self._stopped.is_set()
