"""Counters by labels, of which there can only be so many."""

from collections.abc import Iterator, Sequence
from threading import RLock

from prometheus_client.core import CounterMetricFamily

OTHER = "_OTHER"
"""Stands for the values of a label that came when there were too many already."""


class Tally:
    """Counts by a tuple of labels. Safe to use from any thread.

    Args:
        limit: Tuples of labels; after them, `add` counts under its second one.
    """

    __slots__ = ("_counts", "_limit", "_lock")

    def __init__(self, limit: int = 200) -> None:
        self._counts: dict[tuple[str, ...], int] = {}
        self._limit = limit
        # As in Histogram: the garbage collector may count in the middle of this thread's own counting.
        self._lock = RLock()

    def add(self, labels: tuple[str, ...], otherwise: tuple[str, ...] = (), times: int = 1) -> None:
        """Count under `labels`, or under `otherwise` if they are new and there are too many."""
        with self._lock:
            if labels not in self._counts and len(self._counts) >= self._limit:
                labels = otherwise or labels
            self._counts[labels] = self._counts.get(labels, 0) + times

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], int]]:
        with self._lock:
            return iter(self._counts.copy().items())

    def expose(self, family: CounterMetricFamily, labels: Sequence[str]) -> None:
        """Add the counts to a family that is being scraped, each under `labels` and its own."""
        for own, count in self:
            family.add_metric((*labels, *own), count)
