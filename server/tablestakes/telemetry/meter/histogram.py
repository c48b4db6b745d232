"""A histogram that needs a lock and a bisection for an observation, and prometheus-client only in a scrape."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import accumulate
from threading import RLock
from time import time

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.samples import Exemplar as ExposedExemplar

from ..internals import format_float

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for durations of a database. 0.1 and 0.5 make "p99 below 100 ms" and "none above 500 ms" exact."""
LONG_SECONDS = (*SECONDS, 30.0, 60.0)

Exemplar = Mapping[str, str]
"""The `trace_id` and `span_id` of one observation, in hexadecimal (OpenMetrics 1.0, exemplars)."""


class Histogram:
    """The number of observations in each bucket, and their sum.

    Threads may observe while another thread takes a snapshot. `list[i] += 1` is atomic under today's GIL, but that
    is not guaranteed; the lock costs about 100 ns and keeps the counts and the sum of a snapshot consistent. The
    lock is reentrant: the garbage collector may find a forgotten connection, whose end is counted, while this
    thread is counting.

    Args:
        bounds: Upper bounds of the buckets, ascending, inclusive (`le`), without +Inf.
        lock: A lock that is shared with other counters; their owner holds it and calls `add`. By default it has its
            own lock.
    """

    __slots__ = ("_counts", "_exemplars", "_lock", "_sum", "bounds")

    def __init__(self, bounds: Sequence[float], lock: AbstractContextManager[object] | None = None) -> None:
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._exemplars: dict[int, ExposedExemplar] = {}
        self._lock = RLock() if lock is None else lock

    def observe(self, value: float) -> None:
        """Count one value, in the unit of the bounds."""
        with self._lock:
            self.add(value)

    def add(self, value: float) -> None:
        """Count one value; the caller holds the lock."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self._sum += value

    def mark(self, value: float, exemplar: Exemplar) -> None:
        """Keep the exemplar of a value that was observed; each bucket keeps its last one."""
        exposed = ExposedExemplar(dict(exemplar), value, time())
        with self._lock:
            self._exemplars[bisect_left(self.bounds, value)] = exposed

    def snapshot(self) -> tuple[list[int], float]:
        """Return the count of each bucket (not cumulative; the last is +Inf) and the sum, of the same moment."""
        with self._lock:
            return self._counts.copy(), self._sum

    def expose(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add this histogram to a family that is being scraped."""
        counts, total = self.snapshot()
        names = [*map(format_float, self.bounds), "+Inf"]
        buckets: list[tuple[str, float] | tuple[str, float, ExposedExemplar]] = [
            *zip(names, accumulate(counts), strict=True)
        ]
        with self._lock:
            exemplars = self._exemplars.copy()
        for index, exemplar in exemplars.items():
            buckets[index] = (*buckets[index][:2], exemplar)
        family.add_metric(labels, buckets, total)


def expose_by(family: HistogramMetricFamily, labels: Sequence[str], histograms: Mapping[str, Histogram]) -> None:
    """Add histograms to a family that is being scraped; the key of each is its last label."""
    for name, histogram in histograms.items():
        histogram.expose(family, (*labels, name))
