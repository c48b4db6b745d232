"""How long statements take: the listeners that time them, and the families that show it."""

from collections.abc import Callable, Iterable, Iterator
from itertools import dropwhile
from threading import Lock, RLock
from time import perf_counter
from typing import Any, Literal

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPICursor, ExecuteStyle

from ..account import QUERY, RpcAccount, current_rpc
from ..meter.guard import Guard
from ..meter.histogram import SECONDS, Histogram
from ..meter.tally import OTHER
from ..query import Operation, Query, operation
from ..tracing import DatabaseSpans
from .failure import error_type
from .fetch import TimedCursor
from .slow import SlowQueries

ROWS = (0.0, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
BATCHES = (1.0, 10.0, 100.0, 1e3, 1e4)
_ONE, _BATCH = ExecuteStyle.EXECUTE, ExecuteStyle.EXECUTEMANY
# Statements that are told apart, and how much of the text of each; of the others each is one of its own.
_KNOWN, _TEXT = 1_000, 2_000
MAX_SERIES = 500
"""Label sets of one engine. What comes after them is counted under `_OTHER`: only its name is lost."""


class Series:
    """What is counted of one kind of statement with one outcome."""

    __slots__ = ("_lock", "batch", "fetch", "rows", "seconds", "slow")

    def __init__(self) -> None:
        self._lock = RLock()
        self.seconds = Histogram(SECONDS, self._lock)
        self.rows = Histogram(ROWS, self._lock)
        self.batch = Histogram(BATCHES)
        self.fetch = Histogram(SECONDS)
        self.slow = 0

    def add(self, seconds: float, rows: int) -> None:
        """Count one statement, and its rows unless they are below 0."""
        with self._lock:
            self.seconds.add(seconds)
            if rows >= 0:
                self.rows.add(rows)

    def slowed(self) -> None:
        """Count one that was slow."""
        with self._lock:
            self.slow += 1


class Known:
    """A statement as one engine knows it: found once, kept where SQLAlchemy keeps the compiled construct.

    Attributes:
        owner: Who knows it; an engine that shares a cache of compiled constructs with another has its own.
        query: The statement.
        batches: Whether the driver is given many sets of parameters at once.
        repeats: Whether to send it again and again would mean something.
        batch: The same statement for the driver's executemany; itself if it is that, or a part.
        part: The same statement as a batch of insertmanyvalues, which is how SQLAlchemy sends one INSERT.
        succeeded: Where its successes are counted, None until the first.
    """

    __slots__ = ("batch", "batches", "owner", "part", "query", "repeats", "succeeded")

    def __init__(self, owner: "Statements", query: Query, *, batches: bool = False, repeats: bool = True) -> None:
        self.owner = owner
        self.query = query
        self.batches = batches
        self.repeats = repeats
        self.batch = self.part = self
        self.succeeded: Series | None = None


Started = tuple[Known, RpcAccount | None, float]


class Statements:
    """Times the statements of one engine.

    A duration is wall clock from before to after `cursor.execute`: it includes BEGIN where the driver sends
    it lazily, the transfer of rows where the driver fetches them at once (asyncpg and aiosqlite do), and the
    time an event loop was busy elsewhere. With a server-side cursor it is the time until rows could be fetched,
    and each fetch is timed by itself.

    Args:
        labels: `db_system_name` and `db_client_connection_pool_name`.
        slow: Tells of those that take long.
        guard: Keeps failures of the counting from the statement.
        spans: Told of each of them, if there are any to be made.
    """

    def __init__(
        self, labels: tuple[str, str], slow: SlowQueries, guard: Guard, spans: DatabaseSpans | None = None
    ) -> None:
        self.labels = labels
        self.slow = slow
        self._spans = spans
        self._guard = guard
        self._series: dict[tuple[str, str, str], Series] = {}
        self._named: dict[tuple[Operation, str], Known] = {}
        self._texts: dict[str, Known] = {}
        self._fail = guard.wrap("do_execute", self._failed)
        self._lock = Lock()

    # A statement is timed by the listener that sends it, from do_execute and its two kin. So its clock is closed
    # however it ends; an error that comes without one (compiling, fetching, BEGIN, COMMIT, connecting, a ping) is
    # no second statement, and the batches of insertmanyvalues are timed one by one. What is sent is what the
    # listeners of before_cursor_execute have made of it, also of a column's default. That event and its twin
    # would need a clock kept between them, and listening to any event of a Connection makes SQLAlchemy prepare
    # for all of them: 4 µs for each statement and 5 for each checkout, with listeners that do nothing.

    def sender(self, dialect: Dialect, event: str) -> Callable[..., Literal[True]]:
        """Return a listener that sends a statement and times it.

        It does what SQLAlchemy would do without it, and so answers that the work is done: it asks the listeners
        after it, and the dialect if none of them did the work.

        Args:
            dialect: Of the engine.
            event: `do_execute`, `do_executemany` or `do_execute_no_params`, which is also the dialect's method.
        """
        start, finish, fail = self._start, self._finish, self._fail
        dispatch: Any = dialect.dispatch

        def execute(cursor: DBAPICursor, statement: str, *rest: Any) -> Literal[True]:
            # The rest is the parameters, if there are any, and the context.
            started = start(rest[-1], statement)
            try:
                listeners = getattr(dispatch, event).listeners
                if listeners[-1] is execute or not _handled(listeners, execute, (cursor, statement, *rest)):
                    getattr(dialect, event)(cursor, statement, *rest)
            except BaseException as error:
                if started is not None:
                    fail(started, statement, rest, error)
                raise
            if started is not None:
                finish(started, cursor, statement, rest)
            return True

        return execute

    # The two that every statement passes are guarded in here: a wrapper would be a call more for each.

    def _start(self, context: Any, statement: str) -> Started | None:
        try:
            known = self._know(context, statement)
            if known is None:
                return None
            account, now = current_rpc.get(), perf_counter()
            if account is not None:
                account.begin(QUERY, now)
        except Exception:  # noqa: BLE001 - as Guard.wrap
            self._guard.failed("do_execute")
            return None
        return known, account, now

    def _finish(self, started: Started, cursor: DBAPICursor, statement: str, rest: tuple[Any, ...]) -> None:
        try:
            now = perf_counter()
            known, account, start = started
            seconds = now - start
            if account is not None:
                account.end(QUERY, now)
                account.ran(known.query, seconds, known.repeats)
            series = known.succeeded or self._succeed(known)
            rows = cursor.rowcount
            series.add(seconds, rows)
            context = rest[-1]
            if getattr(context, "_is_server_side", False):
                # The rows are still to come; SQLAlchemy asks the context's cursor for them.
                context.cursor = TimedCursor(cursor, series.fetch, self._guard)
            if (spans := self._spans) is not None:
                _trace(spans, known, series, statement, rest, seconds)
            if known.batches:
                series.batch.observe(len(rest[0]))
            if seconds > self.slow.threshold:
                # Last, so that a log handler that raises takes no count with it.
                series.slowed()
                self.slow.report(known.query, statement, *rest[:-1], seconds=seconds, rows=rows)
        except Exception:  # noqa: BLE001 - as Guard.wrap
            self._guard.failed("do_execute")

    def _failed(self, started: Started, statement: str, rest: tuple[Any, ...], error: BaseException) -> None:
        now = perf_counter()
        # handle_error hears of it next, and wants to know what it is of.
        error.tablestakes_sent = True  # type: ignore[attr-defined]
        known, account, start = started
        seconds, outcome = now - start, error_type(error)
        if account is not None:
            account.end(QUERY, now)
            account.ran(known.query, seconds, repeats=False)
        series = self._admit(known.query.operation, outcome)
        series.add(seconds, -1)
        if (spans := self._spans) is not None:
            _trace(spans, known, series, statement, rest, seconds, error)
        if seconds > self.slow.threshold:
            series.slowed()
            self.slow.report(known.query, statement, *rest[:-1], seconds=seconds, error_type=outcome)

    def _know(self, context: Any, statement: str) -> Known | None:
        # While a column default is executed, the context is still that of the INSERT it is made for; only then
        # does it carry the current parameters.
        compiled = None if context is None or context.current_parameters is not None else context.compiled
        # Compiled constructs live in SQLAlchemy's cache: what is kept on one is found once, and goes with it. On
        # what lives for one statement nothing is kept: an attribute more would cost a microsecond.
        if compiled is not None:
            known: Known | None = getattr(compiled, "tablestakes_known", None)
        elif context is not None and vars(context.root_connection).get("_has_events") is False:
            # What a dialect asks a server that is new to it is its own: there it shuts listeners out.
            return None
        else:
            known = self._texts.get(statement)
        if known is None or known.owner is not self:
            known = self._learn(compiled, statement)
        if context is None or (style := context.execute_style) is _ONE:
            return known
        return known.batch if style is _BATCH else known.part

    def _learn(self, compiled: Any, statement: str) -> Known:
        name, text = operation(compiled, statement), statement[:_TEXT]
        with self._lock:
            # What SQLAlchemy compiles anew each time, or once more, is the same statement still.
            known = self._named.get((name, text))
            if known is None:
                known = Known(self, Query(name, text))
                batch = Query(Operation(f"BATCH {name.name}", name.collection), text)
                known.batch = Known(self, batch, batches=True)
                known.part = Known(self, known.query, repeats=False)
                if len(self._named) < _KNOWN:
                    self._named[name, text] = known
        if compiled is not None:
            compiled.tablestakes_known = known
        elif len(self._texts) < _KNOWN and len(statement) <= _TEXT:
            self._texts[statement] = known
        return known

    def _succeed(self, known: Known) -> Series:
        known.succeeded = self._admit(known.query.operation, "")
        return known.succeeded

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


def _trace(
    spans: DatabaseSpans,
    known: Known,
    series: Series,
    statement: str,
    rest: tuple[Any, ...],
    seconds: float,
    error: BaseException | None = None,
) -> None:
    """Make the span of a statement that was counted, and let what counted it point there."""
    # Where there are parameters, the context comes after them.
    sets = len(rest[0]) if known.batches else int(len(rest) > 1 and bool(rest[0]))
    exemplar = spans.statement(known.query, statement, seconds, sets=sets, error=error)
    if exemplar is not None:
        series.seconds.mark(seconds, exemplar)


def _handled(listeners: Iterable[Callable[..., object]], ours: object, given: tuple[Any, ...]) -> bool:
    """Return whether a listener after ours has executed the statement in the dialect's place."""
    later = list(dropwhile(lambda listener: listener is not ours, listeners))[1:]
    return any(listener(*given) for listener in later)


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
    fetches = HistogramMetricFamily(
        "db_client_fetch_seconds",
        "Time of each fetch of more rows through a server-side cursor; of the others all rows come at once.",
        labels=common,
    )
    for part in parts:
        counts: dict[tuple[str, str], int] = {}
        for (name, collection, outcome), series in part.snapshot():
            series.seconds.expose(durations, (*part.labels, name, collection, outcome))
            for histogram, family in ((series.rows, rows), (series.batch, batches), (series.fetch, fetches)):
                # Not at zero: most statements never tell the one, or are not the other.
                if any(histogram.snapshot()[0]):
                    histogram.expose(family, (*part.labels, name, collection))
            # Zero is a value: the rate of a counter needs it to exist before the first slow query.
            counts[name, collection] = counts.get((name, collection), 0) + series.slow
        for key, count in counts.items():
            slows.add_metric((*part.labels, *key), count)
    yield from (durations, slows, rows, batches, fetches)
