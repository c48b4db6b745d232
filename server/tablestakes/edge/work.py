"""The work of RPCs, each in a task of its own, which outlives an RPC that its caller gave up.

Cancelling a statement costs its connection, and cancelling a COMMIT leaves it unknown whether it took effect.
So nothing here is cancelled: a caller who leaves is let go, and the work ends by the database's own timeouts.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from grpc import StatusCode

from tablestakes.errors import StatusError

T = TypeVar("T")


class Work:
    """The tasks in progress."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Run one unit of work, and return its result.

        Args:
            work: The coroutine.
            seconds: How long to wait for it. It goes on after that, and so it does when the caller is cancelled.

        Raises:
            StatusError: DEADLINE_EXCEEDED, it took longer; UNAVAILABLE, it was cancelled from within.
            Exception: What the work raised.
        """
        task = asyncio.get_running_loop().create_task(work)
        # The loop itself keeps only weak references to its tasks.
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        done, _ = await asyncio.wait((task,), timeout=seconds)
        if not done:
            raise deadline_exceeded()
        if task.cancelled():
            # Not by the caller, whose cancellation would have been raised above. Without a status of ours the
            # caller would get none, and wait until its deadline.
            raise StatusError(
                StatusCode.UNAVAILABLE, "WORK_CANCELLED", "The call was cancelled by the service.", retry_delay=1.0
            )
        return task.result()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that nobody is told of an exception that no caller waits for

    @property
    def in_progress(self) -> int:
        """How many units of work have not ended."""
        return len(self._tasks)

    async def ended(self, seconds: float) -> int:
        """Wait until no work is in progress.

        Args:
            seconds: How long to wait at the most.

        Returns:
            How many units still are.
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
