"""The line of calls that wait to begin: by priority, and within one in the order in which they came."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tablestakes.admission.priority import Priority

if TYPE_CHECKING:
    from tablestakes.admission.admit import Entrance


class Waiting:
    """A call in the line.

    Args:
        entrance: Where it came in.
        since: When it came, in seconds of the clock of admission.
        until: When it is to be turned away.
        decided: Has what was decided about it, once it has.
    """

    __slots__ = ("decided", "entrance", "since", "until")

    def __init__(self, entrance: Entrance, since: float, until: float, decided: asyncio.Future[Any]) -> None:
        self.entrance = entrance
        self.since = since
        self.until = until
        self.decided = decided


class Line:
    """Calls that wait.

    Attributes:
        length: How many there are.
    """

    def __init__(self) -> None:
        # In order, and left from anywhere at once.
        self._waiting: tuple[dict[Waiting, None], ...] = tuple({} for _ in Priority)
        self.length = 0

    def join(self, waiting: Waiting) -> None:
        """Let a call wait."""
        self._waiting[waiting.entrance.priority][waiting] = None
        self.length += 1

    def leave(self, waiting: Waiting) -> bool:
        """Take a call out, wherever it stands, and return whether it was there."""
        mine = self._waiting[waiting.entrance.priority]
        if waiting not in mine:
            return False
        del mine[waiting]
        self.length -= 1
        return True

    def ahead(self, priority: Priority) -> int:
        """Return how many go before a call of a priority that comes now."""
        return sum(map(len, self._waiting[: priority + 1]))

    def of(self, priority: Priority) -> int:
        """Return how many of a priority wait."""
        return len(self._waiting[priority])

    def first(self) -> Waiting | None:
        """Return the call whose turn it is, None if none waits."""
        for each in self._waiting:
            if each:
                return next(iter(each))
        return None

    def last(self, priority: Priority) -> Waiting | None:
        """Return the call that would be served last, if its priority is below one; None if there is none."""
        for each in reversed(self._waiting[priority + 1 :]):
            if each:
                return next(reversed(each))
        return None
