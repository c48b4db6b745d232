"""Timing statements: the listeners that send and measure them."""

from collections.abc import Callable, Iterable
from itertools import dropwhile
from threading import Lock
from time import perf_counter
from typing import Any, Literal

from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPICursor, ExecuteStyle

from ..account import QUERY, RpcAccount, current_rpc
from ..internals import CONNECTION_HAS_EVENTS, IS_SERVER_SIDE, listeners_getter
from ..meter.guard import Guard
from ..query import Operation, Query, operation
from ..tracing import DatabaseSpans
from .failure import error_type
from .fetch import TimedCursor
from .identity import Identity
from .series import Series, SeriesByName
from .slow import SlowQueries

_ONE, _BATCH = ExecuteStyle.EXECUTE, ExecuteStyle.EXECUTEMANY
# How many statements are recognized when they are compiled again, by so many characters of their SQL. Each
# execution of any other statement counts as a statement of its own.
_MAX_STATEMENTS, _MAX_TEXT = 1_000, 2_000


class StatementInfo:
    """A statement of one engine: its name is found once, and then kept on SQLAlchemy's compiled construct.

    Attributes:
        owner: The counters that it belongs to: several engines may share SQLAlchemy's cache of compiled constructs.
        query: The statement.
        is_batch: Whether the driver gets many sets of parameters at once.
        counts_as_repeat: Whether executing it many times in one RPC is suspect.
        batch: The same statement for the driver's executemany; itself if it is a batch or a page.
        page: The same statement as a page of insertmanyvalues, in which SQLAlchemy sends one INSERT with many rows.
        success: The series that counts its successes, None until the first.
    """

    __slots__ = ("batch", "counts_as_repeat", "is_batch", "owner", "page", "query", "success")

    def __init__(
        self, owner: "Statements", query: Query, *, is_batch: bool = False, counts_as_repeat: bool = True
    ) -> None:
        self.owner = owner
        self.query = query
        self.is_batch = is_batch
        self.counts_as_repeat = counts_as_repeat
        self.batch = self.page = self
        self.success: Series | None = None


Started = tuple[StatementInfo, RpcAccount | None, float]


class Statements:
    """Times the statements of one engine.

    A duration is wall-clock time from before to after `cursor.execute`. It includes BEGIN if the driver sends it
    with the first statement, the transfer of all rows if the driver fetches them at once (asyncpg and aiosqlite
    do), and the time for which the event loop was busy with other work. With a server-side cursor it ends when rows
    can be fetched, and each fetch is timed by itself.

    Args:
        labels: The values of `identity.LABELS`.
        slow: Logs the slow statements.
        guard: Catches failures of the counting, so that no statement fails because of one.
        spans: Makes a span of each statement, None without traces.
    """

    def __init__(
        self, labels: Identity, slow: SlowQueries, guard: Guard, spans: DatabaseSpans | None = None
    ) -> None:
        self.labels = labels
        self.slow = slow
        self._spans = spans
        self._guard = guard
        self.series = SeriesByName(labels)
        self._by_name: dict[tuple[Operation, str], StatementInfo] = {}
        self._by_text: dict[str, StatementInfo] = {}
        self._on_failure = guard.wrap("do_execute", self._failed)
        self._lock = Lock()

    # The listener of do_execute, do_executemany and do_execute_no_params sends the statement itself and times it.
    # So the clock is stopped however the statement ends. An error without a running clock (in compiling, fetching,
    # BEGIN, COMMIT, a connect or a ping) is not counted as a second statement, and the pages of insertmanyvalues
    # are timed one by one. By then, listeners of before_cursor_execute have changed the statement if they want to,
    # also that of a column's default. The events before_cursor_execute and after_cursor_execute would need a clock
    # that is kept between them, and a listener of any Connection event makes SQLAlchemy prepare for all of them: 4
    # µs for each statement and 5 µs for each checkout, with listeners that do nothing.

    def execute_listener(self, dialect: Dialect, event: str) -> Callable[..., Literal[True]]:
        """Return a listener that sends a statement and times it.

        It does the same as SQLAlchemy does without it: it calls the listeners after it, and the dialect if none of
        them has sent the statement. So it returns True, which tells SQLAlchemy that the statement was sent.

        Args:
            dialect: The dialect of the engine.
            event: `do_execute`, `do_executemany` or `do_execute_no_params`, which is also the dialect's method.
        """
        start, finish, fail = self._start, self._finish, self._on_failure
        dispatch, listeners_of = dialect.dispatch, listeners_getter(event)

        def execute(cursor: DBAPICursor, statement: str, *rest: Any) -> Literal[True]:
            # The rest are the parameters, if there are any, and the context.
            started = start(rest[-1], statement)
            try:
                listeners = listeners_of(dispatch)
                if listeners[-1] is execute or not _sent_by_other(listeners, execute, (cursor, statement, *rest)):
                    getattr(dialect, event)(cursor, statement, *rest)
            except BaseException as error:
                if started is not None:
                    fail(started, statement, rest, error)
                raise
            if started is not None:
                finish(started, cursor, statement, rest)
            return True

        return execute

    # The next two run for every statement and catch their own exceptions: Guard.wrap would add a call to each.

    def _start(self, context: Any, statement: str) -> Started | None:
        try:
            info = self._find(context, statement)
            if info is None:
                return None
            account, now = current_rpc.get(), perf_counter()
            if account is not None:
                account.begin(QUERY, now)
        except Exception:  # noqa: BLE001 - as Guard.wrap
            self._guard.failed("do_execute")
            return None
        return info, account, now

    def _finish(self, started: Started, cursor: DBAPICursor, statement: str, rest: tuple[Any, ...]) -> None:
        try:
            now = perf_counter()
            info, account, start = started
            seconds = now - start
            if account is not None:
                account.end(QUERY, now)
                account.add_statement(info.query, seconds, info.counts_as_repeat)
            series = info.success or self._series_of_success(info)
            rows = cursor.rowcount
            series.add(seconds, rows)
            context = rest[-1]
            if getattr(context, IS_SERVER_SIDE, False):
                # SQLAlchemy fetches the rows later, with the cursor of the context.
                context.cursor = TimedCursor(cursor, series.fetch, self._guard)
            if (spans := self._spans) is not None:
                _record_span(spans, info, series, statement, rest, seconds)
            if info.is_batch:
                series.batch.observe(len(rest[0]))
            if seconds > self.slow.threshold:
                # This comes last, so that a log handler that raises prevents no counting.
                self.slow.add(info.query, series, statement, *rest[:-1], seconds=seconds, rows=rows)
        except Exception:  # noqa: BLE001 - as Guard.wrap
            self._guard.failed("do_execute")

    def _failed(self, started: Started, statement: str, rest: tuple[Any, ...], error: BaseException) -> None:
        now = perf_counter()
        # handle_error gets this error next, and then knows that the statement was sent.
        error.tablestakes_sent = True  # type: ignore[attr-defined]
        info, account, start = started
        seconds, outcome = now - start, error_type(error)
        if account is not None:
            account.end(QUERY, now)
            account.add_statement(info.query, seconds, counts_as_repeat=False)
        series = self.series.get(info.query.operation, outcome)
        series.add(seconds, -1)
        if (spans := self._spans) is not None:
            _record_span(spans, info, series, statement, rest, seconds, error)
        if seconds > self.slow.threshold:
            self.slow.add(info.query, series, statement, *rest[:-1], seconds=seconds, error_type=outcome)

    def _find(self, context: Any, statement: str) -> StatementInfo | None:
        # While a column default is executed, the context is still that of its INSERT. Only then does the context
        # have current_parameters.
        compiled = None if context is None or context.current_parameters is not None else context.compiled
        # SQLAlchemy caches compiled constructs, so the info on one is found only once, and is freed with it.
        # Nothing is kept on objects that live for one statement: one more attribute would cost a microsecond.
        if compiled is not None:
            info: StatementInfo | None = getattr(compiled, "tablestakes_info", None)
        elif context is not None and vars(context.root_connection).get(CONNECTION_HAS_EVENTS) is False:
            # This is a question of the dialect to a new server, from which SQLAlchemy excludes listeners.
            return None
        else:
            info = self._by_text.get(statement)
        if info is None or info.owner is not self:
            info = self._create_info(compiled, statement)
        if context is None or (style := context.execute_style) is _ONE:
            return info
        return info.batch if style is _BATCH else info.page

    def _create_info(self, compiled: Any, statement: str) -> StatementInfo:
        name, text = operation(compiled, statement), statement[:_MAX_TEXT]
        with self._lock:
            # SQLAlchemy may compile the same statement again, or each time.
            info = self._by_name.get((name, text))
            if info is None:
                info = StatementInfo(self, Query(name, text))
                batch = Query(Operation(f"BATCH {name.name}", name.collection), text)
                info.batch = StatementInfo(self, batch, is_batch=True)
                info.page = StatementInfo(self, info.query, counts_as_repeat=False)
                if len(self._by_name) < _MAX_STATEMENTS:
                    self._by_name[name, text] = info
        if compiled is not None:
            compiled.tablestakes_info = info
        elif len(self._by_text) < _MAX_STATEMENTS and len(statement) <= _MAX_TEXT:
            self._by_text[statement] = info
        return info

    def _series_of_success(self, info: StatementInfo) -> Series:
        info.success = self.series.get(info.query.operation, "")
        return info.success


def _record_span(
    spans: DatabaseSpans,
    info: StatementInfo,
    series: Series,
    statement: str,
    rest: tuple[Any, ...],
    seconds: float,
    error: BaseException | None = None,
) -> None:
    """Make the span of a statement that was counted, and keep it as the exemplar of its duration."""
    # If there are parameters, they come before the context.
    sets = len(rest[0]) if info.is_batch else int(len(rest) > 1 and bool(rest[0]))
    exemplar = spans.statement(info.query, statement, seconds, sets=sets, error=error)
    if exemplar is not None:
        series.seconds.mark(seconds, exemplar)


def _sent_by_other(listeners: Iterable[Callable[..., object]], ours: object, given: tuple[Any, ...]) -> bool:
    """Call the listeners after ours, and return whether one of them has sent the statement."""
    later = list(dropwhile(lambda listener: listener is not ours, listeners))[1:]
    return any(listener(*given) for listener in later)
