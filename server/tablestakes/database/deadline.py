"""By when the work of a call must be done, for whatever waits on its behalf."""

import asyncio
from contextvars import ContextVar

# Seconds, and the share of a short wait, by which a wait ends before the deadline, so that the caller still learns
# that nothing was begun.
RESERVE, RESERVED_SHARE = 0.05, 0.1

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def set_deadline(seconds: float) -> None:
    """Give the work of this context so many seconds from now on; tasks that it starts inherit them."""
    _deadline.set(asyncio.get_running_loop().time() + seconds)


def last_moment(default: float) -> float:
    """Return the time of the event loop's clock until which the work of this context may wait to begin.

    Args:
        default: Seconds from now, where no deadline was set.
    """
    now, until = asyncio.get_running_loop().time(), _deadline.get()
    left = default if until is None else until - now
    return now + left - min(RESERVE, max(0.0, left) * RESERVED_SHARE)
