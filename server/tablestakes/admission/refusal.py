"""The answers to calls that are turned away, made once, for turning away must cost next to nothing."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from grpc import StatusCode

from tablestakes.errors import RETRY_DELAY, StatusError

# Of the usual delay: callers who are turned away together are not to come back together.
SPREAD = (0.6, 0.8, 1.0, 1.2, 1.4)

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


def _refusal(reason: str, status: StatusError) -> Refusal:
    return Refusal(reason, [replace(status, retry_delay=round(RETRY_DELAY * share, 3)) for share in SPREAD])


_OVERLOADED = StatusError(
    StatusCode.UNAVAILABLE, "OVERLOADED", "The service has as many calls as it can serve; this one was not begun."
)
FULL = _refusal("limit", _OVERLOADED)
LATE = _refusal("late", _OVERLOADED)
DISPLACED = _refusal("displaced", _OVERLOADED)
HASTY = _refusal(
    "deadline",
    StatusError(
        StatusCode.UNAVAILABLE,
        "DEADLINE_TOO_SHORT",
        "The service is too busy to end this call by its deadline; it was not begun.",
    ),
)
ALL = (FULL, LATE, DISPLACED, HASTY)
