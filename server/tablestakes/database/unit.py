"""How far a unit of work has come, for whoever waits for it."""

import asyncio
from contextvars import ContextVar
from typing import Any


class Unit:
    """A unit of work that a call waits for.

    Attributes:
        begun: Whether it has a connection. Until then it can be dropped, and has done nothing.
        may_apply: Whether it may have taken effect: a statement by itself was sent, or COMMIT was.
        repeatable: Whether it has a request id, by which it may be repeated whatever came of it.
        claimed: Whether it has had that id for itself, and so no call before it has done the same.
        dropped: Whether nobody waits for it any more, and it is not to begin.
        outlives: The task that goes on with it although its call has ended, None where none does.
    """

    __slots__ = ("begun", "claimed", "dropped", "may_apply", "outlives", "repeatable")

    def __init__(self) -> None:
        self.begun = False
        self.may_apply = False
        self.repeatable = False
        self.claimed = False
        self.dropped = False
        self.outlives: asyncio.Task[Any] | None = None

    def begin(self) -> None:
        """Note that the work has a connection.

        Raises:
            DroppedError: It was dropped before.
        """
        if self.dropped:
            raise DroppedError
        self.begun = True

    def undone(self) -> None:
        """Note that everything it did was undone, and that it may be dropped again."""
        self.begun = self.may_apply = self.claimed = False


class DroppedError(Exception):
    """A unit of work was dropped before it began: its caller has left, or its deadline has passed."""


current_unit: ContextVar[Unit | None] = ContextVar("current_unit", default=None)
"""The unit of work that the running task does, None outside of a call."""
