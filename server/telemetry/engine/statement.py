"""How long statements take: the listeners that time them, and the families that show it."""

from collections.abc import Iterable, Iterator, Sized
from threading import Lock
from time import perf_counter
from typing import Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy.engine import Connection, ExceptionContext, ExecutionContext
from sqlalchemy.engine.interfaces import DBAPICursor, ExecuteStyle

from ..account import QUERY, current_rpc
from ..meter.guard import Guard
from ..meter.histogram import SECONDS, Histogram
from ..meter.tally import OTHER
from ..query import Operation, Query, operation
from .failure import error_type
from .slow import SlowQueries

ROWS = (0.0, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
BATCHES = (1.0, 10.0, 100.0, 1e3, 1e4)
MAX_SERIES = 500
"""Label sets of one engine. What comes after them is counted under `_OTHER`: only its name is lost."""


class Series:
    """What is counted of one kind of statement with one outcome."""

    __slots__ = ("_lock", "batch", "rows", "seconds", "slow")

    def __init__(self) -> None:
        self.seconds = Histogram(SECONDS)
        self.rows = Histogram(ROWS)
        self.batch = Histogram(BATCHES)
        self.slow = 0
        self._lock = Lock()

    def slowed(self) -> None:
        """Count one that was slow."""
        with self._lock:
            self.slow += 1


class Known:
    """A statement as one engine knows it: found once, kept where SQLAlchemy keeps the compiled construct.

    Attributes:
        owner: Who knows it; an engine that shares a cache of compiled constructs with another has its own.
        query: The statement.
        batch: The same for the driver's executemany, None if it is that.
        succeeded: Where its successes are counted, None until the first.
    """

    __slots__ = ("batch", "owner", "query", "succeeded")

    def __init__(self, owner: "Statements", query: Query, batch: "Known | None") -> None:
        self.owner = owner
        self.query = query
        self.batch = batch
        self.succeeded: Series | None = None


class Statements:
    """Times the statements of one engine.

    A duration is wall clock from before to after `cursor.execute`: it includes BEGIN where the driver sends
    it lazily, the transfer of rows where the driver fetches them at once (asyncpg and aiosqlite do), and the
    time an event loop was busy elsewhere. With a server-side cursor it is the time to the first row.

    Args:
        labels: `db_system_name` and `db_client_connection_pool_name`.
        slow: Tells of those that take long.
        guard: Keeps failures of the counting from the statement.
    """

    def __init__(self, labels: tuple[str, str], slow: SlowQueries, guard: Guard) -> None:
        self.labels = labels
        self.slow = slow
        self._guard = guard
        self._series: dict[tuple[str, str, str], Series] = {}
        self._texts: dict[str, Known] = {}
        self._lock = Lock()

    # The timer is kept on the execution context, and closing it takes it away. So a statement that failed leaves
    # nothing behind (a list on the connection would leak one entry for each failure), an error that comes without
    # a timer (compiling, fetching, BEGIN, COMMIT, connecting, a ping) is not a second statement, and the batches
    # of insertmanyvalues, which share a context, are timed one by one. SQLAlchemy may run a statement without a
    # context; the connection then stands in for it.
    #
    # Every statement passes `start` and `finish`, so they are guarded in here: a wrapper is a call more for each.

    def start(
        self,
        connection: Connection,
        _cursor: DBAPICursor,
        statement: str,
        parameters: Any,
        context: ExecutionContext | None,
        _executemany: object,
    ) -> tuple[str, Any]:
        """before_cursor_execute, with retval, which spares SQLAlchemy a wrapper: start the clock."""
        try:
            holder: Any = connection if context is None else context
            holder.tablestakes_known = self._know(context, statement)
            account = current_rpc.get()
            holder.tablestakes_start = now = perf_counter()
            if account is not None:
                account.begin(QUERY, now)
        except Exception:  # noqa: BLE001 - as Guard.wrap
            self._guard.failed("before_cursor_execute")
        return statement, parameters

    def finish(
        self,
        connection: Connection,
        cursor: DBAPICursor,
        statement: str,
        parameters: Sized,
        context: ExecutionContext | None,
        _executemany: object,
    ) -> None:
        """after_cursor_execute: the statement succeeded."""
        try:
            now = perf_counter()
            holder: Any = connection if context is None else context
            known: Known | None = getattr(holder, "tablestakes_known", None)
            if known is None:
                return
            holder.tablestakes_known = None
            seconds = now - holder.tablestakes_start
            style = None if context is None else context.execute_style
            account = current_rpc.get()
            if account is not None:
                account.end(QUERY, now)
                # Batches of insertmanyvalues are how one statement is sent.
                account.ran(known.query, seconds, style is not ExecuteStyle.INSERTMANYVALUES)
            series = known.succeeded
            if series is None:
                series = known.succeeded = self._admit(known.query.operation, "")
            series.seconds.observe(seconds)
            rows = cursor.rowcount
            if rows >= 0:
                series.rows.observe(rows)
            if known.batch is None:
                series.batch.observe(len(parameters))
            if seconds > self.slow.threshold:
                # Last, so that a log handler that raises takes no count with it.
                series.slowed()
                self.slow.report(known.query, statement, seconds=seconds, rows=rows)
        except Exception:  # noqa: BLE001 - as Guard.wrap
            self._guard.failed("after_cursor_execute")

    def fail(self, error: ExceptionContext) -> bool:
        """The statement failed, was cancelled or timed out, if its clock runs; return whether it did."""
        now = perf_counter()
        holder: Any = error.connection if error.execution_context is None else error.execution_context
        known: Known | None = getattr(holder, "tablestakes_known", None)
        if known is None:
            return False
        holder.tablestakes_known = None
        seconds, outcome = now - holder.tablestakes_start, error_type(error.original_exception)
        account = current_rpc.get()
        if account is not None:
            account.end(QUERY, now)
            account.ran(known.query, seconds, repeats=False)
        series = self._admit(known.query.operation, outcome)
        series.seconds.observe(seconds)
        if seconds > self.slow.threshold:
            series.slowed()
            self.slow.report(known.query, error.statement or "", seconds=seconds, error_type=outcome)
        return True

    def _know(self, context: ExecutionContext | None, statement: str) -> Known:
        # While a column default is executed, the context is still that of the INSERT it is made for; only then
        # does it carry the current parameters.
        if context is None or getattr(context, "current_parameters", None) is not None:
            return self._texts.get(statement) or self._learn(None, statement)
        known: Known
        compiled: Any = context.compiled
        if compiled is None:
            known = self._texts.get(statement) or self._learn(None, statement)
        else:
            # Compiled constructs live in SQLAlchemy's cache: what is kept on one is found once, and goes with it.
            kept: Known | None = getattr(compiled, "tablestakes_known", None)
            known = kept if kept is not None and kept.owner is self else self._learn(compiled, statement)
        return known.batch or known if context.execute_style is ExecuteStyle.EXECUTEMANY else known

    def _learn(self, compiled: Any, statement: str) -> Known:
        single = operation(compiled, statement)
        batch = Query(Operation(f"BATCH {single.name}", single.collection), statement)
        known = Known(self, Query(single, statement), Known(self, batch, None))
        if compiled is not None:
            compiled.tablestakes_known = known
        elif len(self._texts) < MAX_SERIES:
            self._texts[statement] = known
        return known

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
            series.seconds.expose(durations, (*part.labels, name, collection, outcome))
            for histogram, family in ((series.rows, rows), (series.batch, batches)):
                # Not at zero: most statements never tell the one, or are not the other.
                if any(histogram.snapshot()[0]):
                    histogram.expose(family, (*part.labels, name, collection))
            # Zero is a value: the rate of a counter needs it to exist before the first slow query.
            counts[name, collection] = counts.get((name, collection), 0) + series.slow
        for key, count in counts.items():
            slows.add_metric((*part.labels, *key), count)
    yield from (durations, slows, rows, batches)
