"""The tasks that serve calls; a task outlives a call whose caller gave up.

Cancelling a statement costs its connection, and cancelling a COMMIT leaves it unknown whether it took effect.
So nothing here is cancelled: a caller who leaves is let go, and the work ends by the database's own timeouts.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from grpc import StatusCode

from tablestakes.errors import StatusError

T = TypeVar("T")


class Tasks:
    """The tasks in progress."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Run a coroutine in a task of its own, and return its result.

        Args:
            work: The coroutine.
            seconds: How long to wait for it. It goes on after that, and also when the caller is cancelled.

        Raises:
            StatusError: DEADLINE_EXCEEDED, it took longer; UNAVAILABLE, it was cancelled from within.
            Exception: The coroutine's own.
        """
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)
        # The loop itself keeps only weak references to its tasks.
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
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
            raise deadline_exceeded()
        if task.cancelled():
            # The caller's own cancellation would have been raised above. Without a status of ours the caller of a
            # task that cancelled itself would get none, and wait until its deadline.
            raise StatusError(
                StatusCode.UNAVAILABLE, "WORK_CANCELLED", "The call was cancelled by the service.", retry_delay=1.0
            )
        return task.result()

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
        "The call did not end by its deadline; what it writes may still take effect.",
    )
