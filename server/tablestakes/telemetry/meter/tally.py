"""Counters by labels, with a limit on their number."""

from collections.abc import Iterator, Sequence
from threading import RLock

from prometheus_client.core import CounterMetricFamily

OTHER = "_OTHER"
"""The value of a label once there are too many values."""


class Tally:
    """Counts by a tuple of labels. It may be used from any thread.

    Args:
        limit: Maximum number of tuples; for further ones, `add` counts under its second argument.
    """

    __slots__ = ("_counts", "_limit", "_lock")

    def __init__(self, limit: int = 200) -> None:
        self._counts: dict[tuple[str, ...], int] = {}
        self._limit = limit
        # It is reentrant for the same reason as in Histogram: the garbage collector may count while this thread is
        # counting.
        self._lock = RLock()

    def add(self, labels: tuple[str, ...], overflow: tuple[str, ...] = (), times: int = 1) -> None:
        """Count under `labels`, or under `overflow` if the labels are new and the limit is reached."""
        with self._lock:
            if labels not in self._counts and len(self._counts) >= self._limit:
                labels = overflow or labels
            self._counts[labels] = self._counts.get(labels, 0) + times

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], int]]:
        with self._lock:
            return iter(self._counts.copy().items())

    def expose(self, family: CounterMetricFamily, labels: Sequence[str]) -> None:
        """Add the counts to a family that is being scraped; the labels of each come after `labels`."""
        for own, count in self:
            family.add_metric((*labels, *own), count)
