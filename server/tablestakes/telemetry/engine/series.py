"""The counters of statements, and the metric families that show them."""

from collections.abc import Iterable, Iterator
from threading import Lock, RLock

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from ..meter.histogram import SECONDS, Histogram
from ..meter.tally import OTHER
from ..query import Operation
from .identity import LABELS, Identity

ROWS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4)
"""Bounds for rows, as OpenTelemetry's semantic conventions have them."""
BATCHES = (1.0, 10.0, 100.0, 1e3, 1e4)
CAUSES = ("statement", "event_loop")
"""Why a statement was slow: by itself, or only because the event loop was late."""
MAX_SERIES = 500
"""Label sets of one engine. Further statements are counted under the collection `_OTHER`."""


class Series:
    """The counters of one kind of statement with one outcome."""

    __slots__ = ("_lock", "batch", "fetch", "rows", "seconds", "slow", "slow_by_loop")

    def __init__(self) -> None:
        self._lock = RLock()
        self.seconds = Histogram(SECONDS, self._lock)
        self.rows = Histogram(ROWS, self._lock)
        self.batch = Histogram(BATCHES)
        self.fetch = Histogram(SECONDS)
        self.slow = 0
        self.slow_by_loop = 0

    def add(self, seconds: float, rows: int) -> None:
        """Count one statement, and its rows unless they are below 0."""
        with self._lock:
            self.seconds.add(seconds)
            if rows >= 0:
                self.rows.add(rows)

    def add_slow(self, *, by_loop: bool) -> None:
        """Count one slow statement.

        Args:
            by_loop: Whether it would not have been slow if the event loop had not been late.
        """
        with self._lock:
            self.slow += 1
            self.slow_by_loop += by_loop

    def slow_by_cause(self) -> tuple[int, int]:
        """Return the number of slow statements for each of `CAUSES`."""
        with self._lock:
            return self.slow - self.slow_by_loop, self.slow_by_loop


class SeriesByName:
    """The counters of one engine's statements, by operation, collection and error_type.

    Args:
        labels: The values of `identity.LABELS`.
    """

    def __init__(self, labels: Identity) -> None:
        self.labels = labels
        self._series: dict[tuple[str, str, str], Series] = {}
        self._lock = Lock()

    def get(self, operation: Operation, error_type: str) -> Series:
        """Return the counters of an operation that ended with an error, "" for success."""
        with self._lock:
            key = (*operation, error_type)
            if key not in self._series and len(self._series) >= MAX_SERIES:
                # There are only a few verbs, so the verb is kept.
                key = (operation.name, OTHER, error_type and OTHER)
            return self._series.setdefault(key, Series())

    def snapshot(self) -> list[tuple[tuple[str, str, str], Series]]:
        """Return the current counters by operation, collection and error_type."""
        with self._lock:
            return list(self._series.items())


def families(parts: Iterable[SeriesByName] = ()) -> Iterator[Metric]:
    """Yield the metric families of `parts`, which share a registry; without parts, they have no samples."""
    common = [*LABELS, "db_operation_name", "db_collection_name"]
    durations = HistogramMetricFamily(
        "db_client_operation_duration_seconds",
        "Time from sending a statement to its result, also of failed, cancelled and timed-out statements.",
        labels=[*common, "error_type"],
    )
    slows = CounterMetricFamily(
        "db_client_slow_operations",
        "Statements that took longer than the threshold of the slow-query log, by what took the time.",
        labels=[*common, "cause"],
    )
    rows = HistogramMetricFamily(
        "db_client_response_returned_rows",
        "Rows that a statement returned or changed, where the driver knows.",
        labels=common,
    )
    batches = HistogramMetricFamily(
        "db_client_batch_size", "Sets of parameters that the driver's executemany was given.", labels=common
    )
    fetches = HistogramMetricFamily(
        "db_client_fetch_seconds",
        "Time of each fetch of more rows through a server-side cursor; of the others all rows come at once.",
        labels=common,
    )
    for part in parts:
        counts: dict[tuple[str, str, str], int] = {}
        for (name, collection, outcome), series in part.snapshot():
            series.seconds.expose(durations, (*part.labels, name, collection, outcome))
            for histogram, family in ((series.rows, rows), (series.batch, batches), (series.fetch, fetches)):
                # A histogram without observations is left out: most statements have no batches, and many no row
                # counts.
                if any(histogram.snapshot()[0]):
                    histogram.expose(family, (*part.labels, name, collection))
            # A count of zero is exposed: for rate(), the counter must exist before the first slow query.
            for cause, count in zip(CAUSES, series.slow_by_cause(), strict=True):
                key = (name, collection, cause)
                counts[key] = counts.get(key, 0) + count
        for key, count in counts.items():
            slows.add_metric((*part.labels, *key), count)
    yield from (durations, slows, rows, batches, fetches)
