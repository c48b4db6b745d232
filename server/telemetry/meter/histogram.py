"""A histogram that costs one lock and one bisection to observe, and nothing of prometheus-client."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
from threading import Lock

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.utils import floatToGoString

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for what a database does; 0.1 and 0.5 are edges, so that "p99 below 100 ms" and "none above 500 ms" are
exact."""
LONG_SECONDS = (*SECONDS, 30.0, 60.0)


class Histogram:
    """Counts of observations per bucket, and their sum.

    Safe to observe from any thread while another thread takes a snapshot. `list[i] += 1` happens to be
    atomic under today's GIL, but no one promises it; the lock costs about 60 ns and keeps count and sum of
    one snapshot in step.

    Args:
        bounds: Upper bounds of the buckets, ascending, inclusive (`le`), without +Inf.
    """

    __slots__ = ("_counts", "_lock", "_sum", "bounds")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = Lock()

    def observe(self, value: float) -> None:
        """Count one value, in the unit of the bounds."""
        index = bisect_left(self.bounds, value)
        with self._lock:
            self._counts[index] += 1
            self._sum += value

    def snapshot(self) -> tuple[list[int], float]:
        """Return the count of each bucket (not cumulated; the last is +Inf) and the sum, taken together."""
        with self._lock:
            return self._counts.copy(), self._sum

    def expose(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add this histogram to a family that is being scraped."""
        counts, total = self.snapshot()
        names = [*map(floatToGoString, self.bounds), "+Inf"]
        family.add_metric(labels, list(zip(names, accumulate(counts), strict=True)), total)


def expose_by(family: HistogramMetricFamily, labels: Sequence[str], histograms: Mapping[str, Histogram]) -> None:
    """Add histograms to a family that is being scraped, each with its key as the last label."""
    for name, histogram in histograms.items():
        histogram.expose(family, (*labels, name))
