"""The tasks that serve calls; a task outlives a call whose caller gave up.

Cancelling a statement costs its connection, and cancelling a COMMIT leaves it unknown whether it took effect.
So work that has begun is not cancelled: a caller who leaves is let go, and the work ends by the database's own
timeouts. Work that has no connection yet is dropped: it has done nothing, and nobody would get its answer.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from grpc import StatusCode

from tablestakes.database.unit import Unit, current_unit
from tablestakes.errors import StatusError

T = TypeVar("T")


class Tasks:
    """The tasks in progress."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T], unit: Unit, seconds: float) -> T:
        """Run a coroutine in a task of its own, and return its result.

        Args:
            work: The coroutine.
            unit: Tells how far it has come. After the wait, and when the caller is cancelled, it goes on if it has
                begun, and is dropped if it has not.
            seconds: How long to wait for it.

        Raises:
            StatusError: DEADLINE_EXCEEDED, it took longer; UNAVAILABLE, it was cancelled from within.
            Exception: The coroutine's own.
        """
        loop = asyncio.get_running_loop()
        # The task inherits it; this one ends with the RPC.
        current_unit.set(unit)
        task = self.start(work)
        # A future and a timer cost less than asyncio.wait, and much less than asyncio.wait_for.
        ended: asyncio.Future[None] = loop.create_future()

        def wake(_: object = None) -> None:
            if not ended.done():
                ended.set_result(None)

        task.add_done_callback(wake)
        timer = loop.call_later(seconds, wake)
        try:
            await ended
        finally:
            timer.cancel()
            if not task.done():
                unit.outlives = task
                if not unit.begun:
                    # The flag besides, for on Python 3.11 asyncio.wait_for, which waits for the pool, may swallow a
                    # cancellation.
                    unit.dropped = True
                    task.cancel()
        if not task.done():
            raise deadline_exceeded()
        if task.cancelled():
            # The caller's own cancellation would have been raised above. Without a status of ours the caller of a
            # task that cancelled itself would get none, and wait until its deadline.
            raise StatusError(
                StatusCode.UNAVAILABLE, "WORK_CANCELLED", "The call was cancelled by the service.", retry_delay=1.0
            )
        return task.result()

    def start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Start a coroutine in a task of its own, which goes on when its caller is gone."""
        task = asyncio.get_running_loop().create_task(work)
        # The loop itself keeps only weak references to its tasks.
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Retrieved here, so that asyncio does not log an exception that no caller waits for.
            task.exception()

    @property
    def in_progress(self) -> int:
        """How many tasks have not ended."""
        return len(self._tasks)

    async def ended(self, seconds: float) -> int:
        """Wait until no task is in progress.

        Args:
            seconds: How long to wait at most.

        Returns:
            How many tasks are still in progress.
        """
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=seconds)
        return len(self._tasks)


def deadline_exceeded() -> StatusError:
    """Return DEADLINE_EXCEEDED for a call that did not end in time."""
    return StatusError(
        StatusCode.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
        "The call did not end by its deadline.",
    )
