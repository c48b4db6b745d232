"""Measuring how late the event loop is, with a timer that knows when it is due."""

from asyncio import AbstractEventLoop, TimerHandle, get_running_loop
from collections import deque
from collections.abc import Iterator
from time import perf_counter

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric

from .meter.histogram import SECONDS, Histogram

# Delays below this, in seconds, are not kept: every loop has them, and none of them makes a statement slow.
_SHORTEST = 0.001
_MAX_KEPT = 1_000


class LoopLag:
    """Measures, twenty times a second, how long a due callback waits until the loop runs it.

    Every duration that is measured on a busy loop contains such waits. Beside this metric, a slow database can be
    distinguished from a blocked loop; `during` says how much of one duration they were.

    Args:
        registry: The registry that exposes `event_loop_lag_seconds`.
        interval: Seconds from a measurement to the next. The loop's delays are not seen for so long after each
            measurement; a measurement costs about ten microseconds.

    Raises:
        ValueError: The registry has a metric of this name already.
    """

    def __init__(self, registry: CollectorRegistry, *, interval: float = 0.05) -> None:
        self._histogram = Histogram(SECONDS)
        self._interval = interval
        self._due = 0.0
        self._last = 0.0
        # When a callback was due and when it ran, of the last ones that were late, in seconds of perf_counter().
        self._late: deque[tuple[float, float]] = deque(maxlen=_MAX_KEPT)
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
        now = perf_counter()
        late = max(0.0, now - self._due)
        self._last = late
        self._histogram.observe(late)
        if late > _SHORTEST:
            self._late.append((self._due, now))
        self._schedule(loop)

    def during(self, start: float, end: float) -> float:
        """Return for how many seconds of a time that has just ended the loop was late.

        It reads what the timer has left behind, so it costs nothing while nobody asks. If the timer is overdue
        itself, its delay so far counts too: the loop may run the callback that asks before the timer.

        Args:
            start: The beginning, in seconds of perf_counter().
            end: The end, which is now.
        """
        total = 0.0 if self._timer is None else max(0.0, end - max(start, self._due))
        for due, ran in reversed(self._late.copy()):
            if ran <= start:
                break
            total += max(0.0, min(end, ran) - max(start, due))
        return min(total, end - start)

    def overdue(self) -> float:
        """Return for how many seconds the loop has not run a timer that is due, 0 if it is not measured.

        It may be called from any thread, so it also tells while the loop is blocked.
        """
        return 0.0 if self._timer is None else max(0.0, perf_counter() - self._due)

    def last(self) -> float:
        """Return for how many seconds the loop was late at the last measurement, or is by now if it is overdue."""
        return max(self._last, self.overdue())

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
