"""Token buckets: how many calls in a second each caller may make."""

from collections import OrderedDict
from collections.abc import Hashable


class Buckets:
    """A token bucket for each caller: it holds so many tokens at the most, and gets them back at a steady rate.

    The callers that were seen last are kept. One that comes back after so many others have called begins with a
    full bucket, so those who can call under any number of names are not held by it.

    Args:
        rate: Calls in a second.
        burst: Calls at once, after a while without any.
        most: How many callers are kept.
    """

    def __init__(self, rate: float, burst: int, most: int = 10_000) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._most = most
        # By caller: how many tokens it had, and when.
        self._kept: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many callers are kept."""
        return len(self._kept)

    def take(self, caller: Hashable, now: float) -> float:
        """Take a token of a caller, and return 0; without one, the seconds until there is one.

        Args:
            caller: The caller.
            now: The time in seconds, of any clock that does not go back.
        """
        tokens, at = self._kept.get(caller, (self._burst, now))
        tokens = min(self._burst, tokens + (now - at) * self._rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        self._kept[caller] = (tokens if wait else tokens - 1, now)
        self._kept.move_to_end(caller)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return wait
