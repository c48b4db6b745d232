"""Rendering one page after another, for a share of the time, so that no number of readers slows the program."""

import asyncio
from collections.abc import Callable, Hashable
from time import perf_counter, thread_time
from typing import Any, TypeVar

T = TypeVar("T")

SHARE = 0.1
"""The share of one core that rendering may take for long."""
BURST = 0.1
"""Seconds of CPU that rendering may take at once, after it has taken less than its share."""
MAX_WAITING = 32
"""Different pages that may wait for their turn."""


class BusyError(Exception):
    """Too many different pages wait for their turn."""


class Turns:
    """Gives each rendering a turn.

    Renderings compete with the program's event loop for the interpreter, so they run one at a time, and pause once
    they have used up their share. Whoever asks for the same page while it waits for its turn gets the same bytes:
    they are of a later moment than the question, as those of a rendering of one's own would be.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting: dict[Hashable, asyncio.Future[Any]] = {}
        self._credit = BURST
        self._counted = perf_counter()

    async def take(self, page: Hashable, render: Callable[[], T]) -> T:
        """Return the result of a rendering that begins after this call.

        Args:
            page: Names all that the result depends on, beside the time.
            render: Renders it.

        Raises:
            BusyError: Too many other pages wait.
        """
        turn = self._waiting.get(page)
        if turn is None:
            if len(self._waiting) >= MAX_WAITING:
                raise BusyError
            turn = self._waiting[page] = asyncio.ensure_future(self._wait(page, render))
            # All who wait for it may leave; then nobody else looks at its exception.
            turn.add_done_callback(lambda done: done.cancelled() or done.exception())
        result: T = await asyncio.shield(turn)
        return result

    async def _wait(self, page: Hashable, render: Callable[[], T]) -> T:
        async with self._lock:
            self._count()
            if self._credit < 0:
                await asyncio.sleep(-self._credit / SHARE)
                self._count()
            del self._waiting[page]  # who asks from now on must not get an older moment
            before = thread_time()
            try:
                return render()
            finally:
                self._credit -= thread_time() - before

    def _count(self) -> None:
        now = perf_counter()
        self._credit = min(BURST, self._credit + (now - self._counted) * SHARE)
        self._counted = now
