"""How long statements take: the listeners that time them, and the families that show it."""

from collections.abc import Iterable, Iterator
from threading import Lock
from time import perf_counter
from typing import Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy.engine import Connection, ExceptionContext, ExecutionContext
from sqlalchemy.engine.interfaces import DBAPICursor

from server.telemetry import slow
from server.telemetry.failure import error_type
from server.telemetry.histogram import Histogram
from server.telemetry.operation import Operation, operation
from server.telemetry.rpc import current_rpc

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds; 0.1 and 0.5 are edges, so that "p99 below 100 ms" and "none above 500 ms" are exact."""

OTHER = "_OTHER"
MAX_SERIES = 500
"""Label sets of one engine. What comes after them is counted under `_OTHER`: only its name is lost."""


class Series:
    """What is counted of one kind of statement with one outcome."""

    __slots__ = ("histogram", "slow")

    def __init__(self) -> None:
        self.histogram = Histogram(BUCKETS)
        self.slow = 0


class Statements:
    """Times the statements of one engine.

    A duration is wall clock from before to after `cursor.execute`: it includes BEGIN where the driver sends
    it lazily, the transfer of rows where the driver fetches them at once (asyncpg and aiosqlite do), and the
    time an event loop was busy elsewhere. With a server-side cursor it is the time to the first row.

    Args:
        system: `db_system_name`.
        pool_name: `db_client_connection_pool_name`.
        slow_seconds: Statements that take longer than this are slow.
    """

    def __init__(self, *, system: str, pool_name: str, slow_seconds: float) -> None:
        self.labels = (system, pool_name)
        self.slow_seconds = slow_seconds
        self._series: dict[tuple[str, str, str], Series] = {}
        self._lock = Lock()

    # The open timer is kept on the execution context, and closing it takes it away. So a statement that
    # failed leaves nothing behind (a list on the connection would leak one entry for each failure), an error
    # that comes without a timer (compiling, fetching, BEGIN, COMMIT, connecting, a ping) is not a second
    # statement, and the batches of insertmanyvalues, which share a context, are timed one by one. SQLAlchemy
    # may run a statement without a context; the connection then stands in for it.

    def start(
        self,
        connection: Connection,
        _cursor: DBAPICursor,
        statement: str,
        _parameters: object,
        context: ExecutionContext | None,
        _executemany: object,
    ) -> None:
        """before_cursor_execute: open the timer."""
        name = operation(context, statement)
        holder: Any = connection if context is None else context
        holder.tablestakes_timer = (name, perf_counter())

    def finish(
        self,
        connection: Connection,
        cursor: DBAPICursor,
        statement: str,
        _parameters: object,
        context: ExecutionContext | None,
        _executemany: object,
    ) -> None:
        """after_cursor_execute: the statement succeeded."""
        now = perf_counter()
        timer = _close(connection if context is None else context)
        if timer is not None:
            self.observe(timer[0], now - timer[1], "", statement, cursor)

    def fail(self, error: ExceptionContext) -> None:
        """handle_error: the statement failed, was cancelled or timed out, if its timer is open."""
        now = perf_counter()
        holder = error.connection if error.execution_context is None else error.execution_context
        timer = _close(holder)
        if timer is not None:
            outcome = error_type(error.original_exception)
            self.observe(timer[0], now - timer[1], outcome, error.statement or "", None)

    def observe(
        self, name: Operation, seconds: float, outcome: str, statement: str, cursor: DBAPICursor | None
    ) -> None:
        """Count a statement that took `seconds`; `outcome` is its error_type, "" for success."""
        series = self._series.get((name.name, name.collection, outcome)) or self._admit(name, outcome)
        series.histogram.observe(seconds)
        account = current_rpc.get()
        if account is not None:
            account.statements += 1
            account.query_seconds += seconds
        if seconds > self.slow_seconds:
            with self._lock:
                series.slow += 1
            # Last, so that a log handler that raises takes no count with it.
            slow.report(name, statement, cursor, seconds=seconds, threshold=self.slow_seconds, error_type=outcome)

    def _admit(self, name: Operation, outcome: str) -> Series:
        with self._lock:
            key = (*name, outcome)
            if key not in self._series and len(self._series) >= MAX_SERIES:
                # The verbs are bounded already.
                key = (name.name, OTHER, outcome and OTHER)
            return self._series.setdefault(key, Series())

    def snapshot(self) -> list[tuple[tuple[str, str, str], Series]]:
        """Return the series as they are now, by operation, collection and error_type."""
        with self._lock:
            return list(self._series.items())


def _close(holder: Any) -> tuple[Operation, float] | None:
    timer: tuple[Operation, float] | None = getattr(holder, "tablestakes_timer", None)
    if timer is not None:
        holder.tablestakes_timer = None
    return timer


def families(parts: Iterable[Statements] = ()) -> Iterator[Metric]:
    """Yield the families of `parts`, which share a registry; without parts, only their names."""
    common = ["db_system_name", "db_client_connection_pool_name", "db_operation_name", "db_collection_name"]
    durations = HistogramMetricFamily(
        "db_client_operation_duration_seconds",
        "Time from sending a statement to its result, also of failed, cancelled and timed-out statements.",
        labels=[*common, "error_type"],
    )
    slows = CounterMetricFamily(
        "db_client_slow_operations",
        "Statements that took longer than the threshold of the slow-query log.",
        labels=common,
    )
    for part in parts:
        counts: dict[tuple[str, str], int] = {}
        for (name, collection, outcome), series in part.snapshot():
            series.histogram.expose(durations, (*part.labels, name, collection, outcome))
            # Zero is a value: the rate of a counter needs it to exist before the first slow query.
            counts[name, collection] = counts.get((name, collection), 0) + series.slow
        for key, count in counts.items():
            slows.add_metric((*part.labels, *key), count)
    yield durations
    yield slows
