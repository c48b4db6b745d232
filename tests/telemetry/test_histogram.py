"""Histograms count values in the buckets that Prometheus expects."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.core import HistogramMetricFamily

from tablestakes.telemetry.meter.histogram import Histogram


@pytest.mark.parametrize(
    ("value", "index"),
    [(0.0, 0), (0.1, 0), (0.100001, 1), (1.0, 1), (1.5, 2), (2.0, 2), (2.1, 3), (math.inf, 3)],
)
def test_an_upper_bound_is_inclusive(value: float, index: int) -> None:
    """A value that equals an upper bound is counted in its bucket, as `le` means."""
    histogram = Histogram((0.1, 1.0, 2.0))
    histogram.observe(value)
    counts, total = histogram.snapshot()
    assert counts.index(1) == index
    assert total == value


def test_exposed_buckets_are_cumulative() -> None:
    """A scrape has cumulative counts, with +Inf last, and a sum."""
    histogram = Histogram((0.5, 1.0))
    for value in (0.25, 0.75, 0.75, 4.0):
        histogram.observe(value)
    family = HistogramMetricFamily("duration_seconds", "Time.", labels=["kind"])
    histogram.expose(family, ["a"])
    assert [(s.name, s.labels.get("le"), s.value) for s in family.samples] == [
        ("duration_seconds_bucket", "0.5", 1),
        ("duration_seconds_bucket", "1.0", 3),
        ("duration_seconds_bucket", "+Inf", 4),
        ("duration_seconds_count", None, 4),
        ("duration_seconds_sum", None, 5.75),
    ]


def test_threads_lose_no_observation() -> None:
    """Observations from many threads add up, and each snapshot taken meanwhile is consistent."""
    histogram = Histogram((0.5, 1.0))

    def observe() -> None:
        for _ in range(2000):
            histogram.observe(1.0)
            counts, total = histogram.snapshot()
            assert sum(counts) == total

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(observe) for _ in range(8)]:
            done.result()
    assert histogram.snapshot() == ([0, 16000, 0], 16000.0)
