"""A histogram that costs one lock and one bisection to observe, and nothing of prometheus-client."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import accumulate
from threading import RLock
from time import time

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.samples import Exemplar as Shown
from prometheus_client.utils import floatToGoString

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for what a database does; 0.1 and 0.5 are edges, so that "p99 below 100 ms" and "none above 500 ms" are
exact."""
LONG_SECONDS = (*SECONDS, 30.0, 60.0)

Exemplar = Mapping[str, str]
"""What points to one observation: `trace_id` and `span_id`, in hexadecimal (OpenMetrics 1.0, exemplars)."""


class Histogram:
    """Counts of observations per bucket, and their sum.

    Safe to observe from any thread while another thread takes a snapshot. `list[i] += 1` happens to be
    atomic under today's GIL, but no one promises it; the lock costs about 100 ns and keeps count and sum of
    one snapshot in step. It may be taken twice, for the garbage collector may find a forgotten connection, whose
    end is counted, in the middle of this thread's own counting.

    Args:
        bounds: Upper bounds of the buckets, ascending, inclusive (`le`), without +Inf.
        lock: One that it shares with what is counted along with it, which then calls `add` while it holds it.
    """

    __slots__ = ("_counts", "_exemplars", "_lock", "_sum", "bounds")

    def __init__(self, bounds: Sequence[float], lock: AbstractContextManager[object] | None = None) -> None:
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._exemplars: dict[int, Shown] = {}
        self._lock = RLock() if lock is None else lock

    def observe(self, value: float) -> None:
        """Count one value, in the unit of the bounds."""
        with self._lock:
            self.add(value)

    def add(self, value: float) -> None:
        """Count one value, for a caller who holds the lock."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self._sum += value

    def mark(self, value: float, exemplar: Exemplar) -> None:
        """Say what points to a value that was observed; each bucket keeps the last of its values' exemplars."""
        shown = Shown(dict(exemplar), value, time())
        with self._lock:
            self._exemplars[bisect_left(self.bounds, value)] = shown

    def snapshot(self) -> tuple[list[int], float]:
        """Return the count of each bucket (not cumulated; the last is +Inf) and the sum, taken together."""
        with self._lock:
            return self._counts.copy(), self._sum

    def expose(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add this histogram to a family that is being scraped."""
        counts, total = self.snapshot()
        names = [*map(floatToGoString, self.bounds), "+Inf"]
        buckets: list[tuple[str, float] | tuple[str, float, Shown]] = [*zip(names, accumulate(counts), strict=True)]
        with self._lock:
            exemplars = self._exemplars.copy()
        for index, exemplar in exemplars.items():
            buckets[index] = (*buckets[index][:2], exemplar)
        family.add_metric(labels, buckets, total)


def expose_by(family: HistogramMetricFamily, labels: Sequence[str], histograms: Mapping[str, Histogram]) -> None:
    """Add histograms to a family that is being scraped, each with its key as the last label."""
    for name, histogram in histograms.items():
        histogram.expose(family, (*labels, name))
