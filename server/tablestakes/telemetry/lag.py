"""Measuring how late the event loop is, with a timer that knows when it is due."""

from asyncio import AbstractEventLoop, TimerHandle, get_running_loop
from collections.abc import Iterator
from time import perf_counter

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric

from .meter.histogram import SECONDS, Histogram


class LoopLag:
    """Measures, a few times a second, how long a due callback waits until the loop runs it.

    Every duration that is measured on a busy loop contains such a wait. Beside this metric, a slow database can be
    distinguished from a blocked loop.

    Args:
        registry: The registry that exposes `event_loop_lag_seconds`.
        interval: Seconds between two measurements.

    Raises:
        ValueError: The registry has a metric of this name already.
    """

    def __init__(self, registry: CollectorRegistry, *, interval: float = 0.25) -> None:
        self._histogram = Histogram(SECONDS)
        self._interval = interval
        self._due = 0.0
        self._timer: TimerHandle | None = None
        registry.register(self)

    def start(self) -> None:
        """Begin to measure the running loop; a second call does nothing."""
        if self._timer is None:
            self._schedule(get_running_loop())

    def stop(self) -> None:
        """Stop measuring; a second call does nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, loop: AbstractEventLoop) -> None:
        self._due = perf_counter() + self._interval
        self._timer = loop.call_later(self._interval, self._fire, loop)

    def _fire(self, loop: AbstractEventLoop) -> None:
        # Event loops round their timers, so a timer may also be a little early.
        self._histogram.observe(max(0.0, perf_counter() - self._due))
        self._schedule(loop)

    def snapshot(self) -> tuple[list[int], float]:
        """Return the number of measurements in each bucket of `SECONDS` and +Inf, and their sum in seconds."""
        return self._histogram.snapshot()

    def describe(self) -> Iterator[Metric]:
        """Yield the family without samples."""
        yield _family()

    def collect(self) -> Iterator[Metric]:
        """Yield the family as it is now."""
        family = _family()
        self._histogram.expose(family, ())
        yield family


def _family() -> HistogramMetricFamily:
    return HistogramMetricFamily(
        "event_loop_lag_seconds", "Time that a callback which was due waited for the event loop.", labels=()
    )
