"""The metrics of admission: its limit, the calls in progress, those that wait and those that were turned away."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from .meter.histogram import SECONDS, Histogram


class AdmissionMetrics:
    """The `admission_*` metrics of one server; every series is there from the start.

    Args:
        registry: The registry that exposes them.
        priorities: The priorities, by number.
        reasons: The reasons for which calls are turned away.

    Attributes:
        limit: Returns how many calls may be in progress; set by who decides that.
        in_progress: Returns how many are.
        queued: Returns how many of a priority wait.

    Raises:
        ValueError: The registry has metrics of these names already.
    """

    def __init__(self, registry: CollectorRegistry, priorities: Sequence[str], reasons: Sequence[str]) -> None:
        self._priorities = tuple(priorities)
        self._refused = [dict.fromkeys(reasons, 0) for _ in priorities]
        self._left = [0] * len(self._priorities)
        self._queue = [Histogram(SECONDS) for _ in priorities]
        self.limit: Callable[[], int] = lambda: 0
        self.in_progress: Callable[[], int] = lambda: 0
        self.queued: Callable[[int], int] = lambda _: 0
        registry.register(self)

    def refused(self, priority: int, reason: str) -> None:
        """Count a call that was turned away."""
        self._refused[priority][reason] += 1

    def left(self, priority: int) -> None:
        """Count a call whose caller left while it waited."""
        self._left[priority] += 1

    def waited(self, priority: int, seconds: float) -> None:
        """Count a call that has waited, however that ended."""
        self._queue[priority].observe(seconds)

    def describe(self) -> Iterator[Metric]:
        """Yield the families without samples."""
        yield from _families()

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they are now."""
        limit, in_progress, queued, refused, left, queue = families = _families()
        limit.add_metric((), self.limit())
        in_progress.add_metric((), self.in_progress())
        for number, priority in enumerate(self._priorities):
            queued.add_metric((priority,), self.queued(number))
            left.add_metric((priority,), self._left[number])
            self._queue[number].expose(queue, (priority,))
            for reason, count in self._refused[number].items():
                refused.add_metric((priority, reason), count)
        yield from families


def _families() -> tuple[
    GaugeMetricFamily,
    GaugeMetricFamily,
    GaugeMetricFamily,
    CounterMetricFamily,
    CounterMetricFamily,
    HistogramMetricFamily,
]:
    by = ("priority",)
    return (
        GaugeMetricFamily("admission_limit", "How many calls may be in progress; 0 for no limit."),
        GaugeMetricFamily("admission_in_progress", "Calls in progress, also where the caller has left."),
        GaugeMetricFamily("admission_queued", "Calls that wait to begin.", labels=by),
        CounterMetricFamily(
            "admission_refused", "Calls that were turned away before they began.", labels=(*by, "reason")
        ),
        CounterMetricFamily("admission_left", "Calls whose caller left while they waited to begin.", labels=by),
        HistogramMetricFamily("admission_queue_seconds", "Time that calls waited to begin.", labels=by),
    )
