"""How late the event loop is, measured by a timer that knows when it should fire."""

from asyncio import AbstractEventLoop, TimerHandle, get_running_loop
from collections.abc import Iterator
from time import perf_counter

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric

from .meter.histogram import SECONDS, Histogram


class LoopLag:
    """Measures, a few times a second, how long a callback that is due waits for the loop to run it.

    Every duration that is measured on a busy loop contains such a wait: with it beside them, a slow database can
    be told from a loop that is blocked.

    Args:
        registry: Where `event_loop_lag_seconds` is exposed.
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
        """Begin to measure the running loop. Twice is once."""
        if self._timer is None:
            self._schedule(get_running_loop())

    def stop(self) -> None:
        """Stop measuring. Twice is once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, loop: AbstractEventLoop) -> None:
        self._due = perf_counter() + self._interval
        self._timer = loop.call_later(self._interval, self._fire, loop)

    def _fire(self, loop: AbstractEventLoop) -> None:
        # Loops round their timers, so one may also be a little early.
        self._histogram.observe(max(0.0, perf_counter() - self._due))
        self._schedule(loop)

    def snapshot(self) -> tuple[list[int], float]:
        """Return the measurements by the buckets of `SECONDS` and +Inf, and their sum in seconds."""
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
