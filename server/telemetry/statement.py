"""How long statements take: the listeners that time them, and the families that show it."""

from collections.abc import Callable, Iterable, Iterator, Sized
from threading import Lock
from time import perf_counter
from typing import Any, NamedTuple

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy.engine import Connection, ExceptionContext, ExecutionContext
from sqlalchemy.engine.interfaces import DBAPICursor

from server.telemetry import slow
from server.telemetry.account import QUERY, RpcAccount, current_rpc
from server.telemetry.failure import error_type
from server.telemetry.histogram import SECONDS, Histogram
from server.telemetry.operation import Operation, is_batch, operation, repeatable
from server.telemetry.tally import OTHER

ROWS = (0.0, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
BATCHES = (1.0, 10.0, 100.0, 1e3, 1e4)
MAX_SERIES = 500
"""Label sets of one engine. What comes after them is counted under `_OTHER`: only its name is lost."""


class Series:
    """What is counted of one kind of statement with one outcome."""

    __slots__ = ("batch", "histogram", "rows", "slow")

    def __init__(self) -> None:
        self.histogram = Histogram(SECONDS)
        self.rows = Histogram(ROWS)
        self.batch = Histogram(BATCHES)
        self.slow = 0


class Timer(NamedTuple):
    """A statement that is under way."""

    operation: Operation
    start: float
    account: RpcAccount | None


class Statements:
    """Times the statements of one engine.

    A duration is wall clock from before to after `cursor.execute`: it includes BEGIN where the driver sends
    it lazily, the transfer of rows where the driver fetches them at once (asyncpg and aiosqlite do), and the
    time an event loop was busy elsewhere. With a server-side cursor it is the time to the first row.

    Args:
        system: `db_system_name`.
        pool_name: `db_client_connection_pool_name`.
        slow_seconds: Statements that take longer than this are slow.
        trace_id: Tells the trace that the running task belongs to, for the line of a slow statement.
    """

    def __init__(
        self,
        *,
        system: str,
        pool_name: str,
        slow_seconds: float,
        trace_id: Callable[[], str | None] | None = None,
    ) -> None:
        self.labels = (system, pool_name)
        self.slow_seconds = slow_seconds
        self.trace_id = trace_id
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
        account, now = current_rpc.get(), perf_counter()
        if account is not None:
            account.begin(QUERY, now)
        holder.tablestakes_timer = Timer(name, now, account)

    def finish(
        self,
        connection: Connection,
        cursor: DBAPICursor,
        statement: str,
        parameters: Sized,
        context: ExecutionContext | None,
        executemany: object,
    ) -> None:
        """after_cursor_execute: the statement succeeded."""
        now = perf_counter()
        timer = _close(connection if context is None else context)
        if timer is None:
            return
        rows = cursor.rowcount
        batch = len(parameters) if executemany and context is not None and is_batch(context) else None
        if timer.account is not None:
            timer.account.end(QUERY, now)
            timer.account.ran(repeatable(context, statement), timer.operation, statement)
        self.observe(timer.operation, now - timer.start, "", statement, rows=rows, batch=batch)

    def fail(self, error: ExceptionContext) -> bool:
        """The statement failed, was cancelled or timed out, if its timer is open; return whether it was."""
        now = perf_counter()
        holder = error.connection if error.execution_context is None else error.execution_context
        timer = _close(holder)
        if timer is None:
            return False
        statement = error.statement or ""
        if timer.account is not None:
            timer.account.end(QUERY, now)
            timer.account.ran(None, timer.operation, statement)
        self.observe(timer.operation, now - timer.start, error_type(error.original_exception), statement)
        return True

    def observe(
        self,
        name: Operation,
        seconds: float,
        outcome: str,
        statement: str,
        *,
        rows: int = -1,
        batch: int | None = None,
    ) -> None:
        """Count a statement.

        Args:
            name: What it is called.
            seconds: How long it took.
            outcome: Its error_type, "" for success.
            statement: Its text.
            rows: How many rows it returned or changed, below 0 if the driver does not know.
            batch: How many sets of parameters the driver's executemany was given, if it was that.
        """
        series = self._series.get((name.name, name.collection, outcome)) or self._admit(name, outcome)
        series.histogram.observe(seconds)
        if rows >= 0:
            series.rows.observe(rows)
        if batch is not None:
            series.batch.observe(batch)
        if seconds > self.slow_seconds:
            with self._lock:
                series.slow += 1
            # Last, so that a log handler that raises takes no count with it.
            trace = self.trace_id() if self.trace_id is not None else None
            slow.report(
                name,
                statement,
                rows=rows,
                seconds=seconds,
                threshold=self.slow_seconds,
                error_type=outcome,
                trace_id=trace,
            )

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


def began(context: ExecutionContext | None) -> bool:
    """Return whether a statement was about to be sent with this context, or had been: it had a timer."""
    return hasattr(context, "tablestakes_timer")


def _close(holder: Any) -> Timer | None:
    timer: Timer | None = getattr(holder, "tablestakes_timer", None)
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
    rows = HistogramMetricFamily(
        "db_client_response_returned_rows",
        "Rows that a statement returned or changed, where the driver knows.",
        labels=common,
    )
    batches = HistogramMetricFamily(
        "db_client_batch_size", "Sets of parameters that the driver's executemany was given.", labels=common
    )
    for part in parts:
        counts: dict[tuple[str, str], int] = {}
        for (name, collection, outcome), series in part.snapshot():
            series.histogram.expose(durations, (*part.labels, name, collection, outcome))
            for histogram, family in ((series.rows, rows), (series.batch, batches)):
                # Not at zero: most statements never tell the one, or are not the other.
                if any(histogram.snapshot()[0]):
                    histogram.expose(family, (*part.labels, name, collection))
            # Zero is a value: the rate of a counter needs it to exist before the first slow query.
            counts[name, collection] = counts.get((name, collection), 0) + series.slow
        for key, count in counts.items():
            slows.add_metric((*part.labels, *key), count)
    yield from (durations, slows, rows, batches)
