"""The answers to calls that are turned away, made once, for turning away must cost next to nothing."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from grpc import StatusCode

from tablestakes.errors import RETRY_DELAY, StatusError

# Of the usual delay: callers who are turned away together are not to come back together.
SPREAD = (0.6, 0.8, 1.0, 1.2, 1.4)

OVERLOADED = "OVERLOADED"
DEADLINE_TOO_SHORT = "DEADLINE_TOO_SHORT"
RATE_LIMITED = "RATE_LIMITED"

REASONS = ("limit", "deadline", "late", "displaced", "rate")
"""Why calls are turned away, in the metrics: there is no room; the deadline comes too soon; the wait was longer
than expected; calls of a higher priority came; the caller has no token left."""


@dataclass(frozen=True)
class Refusal:
    """A reason to turn calls away.

    Attributes:
        reason: One of `REASONS`.
        statuses: Its statuses, which differ in the delay that they ask for.
    """

    reason: str
    statuses: Sequence[StatusError]

    def status(self) -> StatusError:
        """Return one of the statuses."""
        return random.choice(self.statuses)  # noqa: S311 - no secret


def _refusal(reason: str, name: str, message: str) -> Refusal:
    delays = (round(RETRY_DELAY * share, 3) for share in SPREAD)
    statuses = [StatusError(StatusCode.UNAVAILABLE, name, message, retry_delay=delay) for delay in delays]
    return Refusal(reason, statuses)


_BUSY = "The service has as many calls as it can serve; this one was not begun."
FULL = _refusal("limit", OVERLOADED, _BUSY)
LATE = _refusal("late", OVERLOADED, _BUSY)
DISPLACED = _refusal("displaced", OVERLOADED, _BUSY)
HASTY = _refusal(
    "deadline",
    DEADLINE_TOO_SHORT,
    "The service is too busy to end this call by its deadline; it was not begun.",
)
ALL = (FULL, LATE, DISPLACED, HASTY)
