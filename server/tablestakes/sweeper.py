"""The sweeping of request ids, beside the calls that are served."""

import asyncio
import contextlib
import random

import structlog
from sqlalchemy.exc import SQLAlchemyError

from tablestakes.crud.once import BATCH, Once
from tablestakes.database import Database

# Seconds between two sweeps, on average: at random, so that replicas do not all sweep at once.
PERIOD = 600.0

log = structlog.get_logger()


class Sweeper:
    """Deletes the request ids that were kept for long enough, from now and then, until it is stopped.

    Args:
        once: Knows for how long they are kept.
        database: The database that keeps them.
        period: The seconds between two sweeps, on average.
    """

    def __init__(self, once: Once, database: Database, period: float = PERIOD) -> None:
        self._once = once
        self._database = database
        self._period = period
        self._stopped = asyncio.Event()
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Stop, after the sweep that is under way."""
        self._stopped.set()
        await self._task

    async def _run(self) -> None:
        while not await self._pause():
            try:
                # Each batch by itself, and calls between them.
                while await self._once.sweep(self._database) == BATCH and not self._stopped.is_set():
                    pass
            except (SQLAlchemyError, OSError) as error:
                # The next one will do it; its text may hold values.
                log.warning("request ids not swept", error=type(error).__name__)

    async def _pause(self) -> bool:
        """Wait, and return whether it was stopped."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(0.5, 1.5) * self._period):  # noqa: S311 - it need not be hard to guess
                await self._stopped.wait()
        return self._stopped.is_set()
