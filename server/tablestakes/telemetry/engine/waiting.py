"""Waiting for a connection of the pool, for which SQLAlchemy has no event: pools that time it themselves."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from threading import Lock
from time import perf_counter

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy import exc
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, Pool, QueuePool
from sqlalchemy.util import queue

from ..account import POOL_WAIT, current_rpc
from ..meter.guard import Guard
from ..meter.histogram import SECONDS, Histogram, expose_by
from ..tracing import DatabaseSpans
from .error import Errors, is_counted

OUTCOMES = ("ok", "timeout", "cancelled")


class Waits:
    """Counts who waits for a connection of one engine, and how long it took.

    A connect, a ping and what listeners do are no part of a wait. A checkout that need not wait counts as one
    of zero seconds, so the histogram's count is that of checkouts.

    Args:
        labels: `db_system_name` and `db_client_connection_pool_name`.
        errors: Where checkouts that end without a connection are counted.
        guard: Keeps failures of the counting from the pool.
        spans: Told of each wait, if there are any to be made.
    """

    def __init__(
        self, labels: tuple[str, str], errors: Errors, guard: Guard, spans: DatabaseSpans | None = None
    ) -> None:
        self.labels = labels
        self._spans = spans
        self._guard = guard
        self._lock = Lock()
        self.seconds = {name: Histogram(SECONDS, self._lock) for name in OUTCOMES}
        self.timeouts = 0
        self.empty = 0
        self.pending: set[object] = set()
        self._errors = errors
        # For a checkout that need not wait, as nearly all need not.
        self.passed: Callable[[], None] = partial(self.seconds["ok"].observe, 0.0)
        self.timed_out: Callable[[BaseException], None] = guard.wrap("pool timeout", self._timed_out)

    # Where callers outnumber connections every checkout waits, so the two guard themselves.

    def began(self, ticket: object, start: float) -> None:
        """Count one who waits."""
        try:
            self.pending.add(ticket)
            account = current_rpc.get()
            if account is not None:
                account.begin(POOL_WAIT, start)
        except Exception:  # noqa: BLE001 - as Guard.wrap
            self._guard.failed("pool wait")

    def ended(self, ticket: object, start: float, outcome: str, error: BaseException | None) -> None:
        """Count that the wait is over, and how it ended."""
        try:
            now = perf_counter()
            self.pending.discard(ticket)
            account = current_rpc.get()
            if account is not None:
                account.end(POOL_WAIT, now)
            with self._lock:
                self.seconds[outcome].add(now - start)
                self.empty += outcome == "ok"
            if self._spans is not None:
                self._spans.phase(POOL_WAIT, now - start, error)
            if outcome == "cancelled" and error is not None:
                self._errors.count("checkout", error)
        except Exception:  # noqa: BLE001 - as Guard.wrap
            self._guard.failed("pool wait")

    def made(self) -> None:
        """Count a checkout that found the pool empty, and may have a new connection."""
        with self._lock:
            self.seconds["ok"].add(0.0)
            self.empty += 1

    def _timed_out(self, error: BaseException) -> None:
        # A pool may ask itself again; the error is one.
        if not is_counted(error):
            with self._lock:
                self.timeouts += 1
            self._errors.count("checkout", error)


class _TimedGet(queue.QueueCommon[ConnectionPoolEntry]):
    waits: Waits | None = None

    def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
        waits = self.waits
        if waits is None:
            return super().get(block, timeout)
        # A pool that may make no more connections says that it would wait, also where one is idle; and an
        # asynchronous wait is dear even if it is over at once. Nobody who waits already is overtaken.
        if not block or not waits.pending:
            try:
                item = super().get(False)
            except queue.Empty:
                if not block:
                    raise
            else:
                waits.passed()
                return item
        error: BaseException | None
        ticket, start, outcome, error = object(), perf_counter(), "ok", None
        waits.began(ticket, start)
        try:
            return super().get(True, timeout)
        except queue.Empty:
            outcome, error = "timeout", TimeoutError()
            raise
        except BaseException as raised:
            outcome, error = "cancelled", raised
            raise
        finally:
            waits.ended(ticket, start, outcome, error)


class _TimedQueue(_TimedGet, queue.Queue[ConnectionPoolEntry]):
    pass


class _AsyncTimedQueue(_TimedGet, queue.AsyncAdaptedQueue[ConnectionPoolEntry]):
    pass


class TimedQueuePool(QueuePool):
    """SQLAlchemy's QueuePool, which tells an instrumentation how long checkouts wait.

    Pass it as `poolclass` to `create_engine`. Without an instrumentation it is a QueuePool.
    """

    # It speaks through SQLAlchemy's loggers, as the pool that it stands in for: not as a module of this program.
    _sqla_logger_namespace = "sqlalchemy.pool.impl.QueuePool"
    _queue_class: type[queue.QueueCommon[ConnectionPoolEntry]] = _TimedQueue
    _waits: Waits | None = None

    def report_to(self, waits: Waits | None) -> None:
        """Tell `waits` from now on, or nobody; pools that take this one's place after dispose() do the same."""
        self._waits = waits
        self._pool.waits = waits  # type: ignore[attr-defined]  # a queue of _queue_class

    def _do_get(self) -> ConnectionPoolEntry:
        try:
            return super()._do_get()
        except exc.TimeoutError as error:
            if self._waits is not None:
                self._waits.timed_out(error)
            raise

    def _create_connection(self) -> ConnectionPoolEntry:
        if self._waits is not None:
            self._waits.made()
        return super()._create_connection()

    def recreate(self) -> QueuePool:
        """Return a pool like this one, which reports to the same."""
        made = super().recreate()
        if isinstance(made, TimedQueuePool):
            made.report_to(self._waits)
        return made

    def dispose(self) -> None:
        """Close what is in the pool; taking it out to close it is no checkout."""
        waits = self._waits
        self.report_to(None)
        try:
            super().dispose()
        finally:
            self.report_to(waits)


class AsyncTimedQueuePool(TimedQueuePool, AsyncAdaptedQueuePool):
    """SQLAlchemy's AsyncAdaptedQueuePool, which tells an instrumentation how long checkouts wait.

    Pass it as `poolclass` to `create_async_engine`.
    """

    _sqla_logger_namespace = "sqlalchemy.pool.impl.AsyncAdaptedQueuePool"
    _queue_class = _AsyncTimedQueue


def report(pool: Pool, waits: Waits | None) -> bool:
    """Let a pool report its waits, and return whether it is one that can."""
    if not isinstance(pool, TimedQueuePool):
        return False
    pool.report_to(waits)
    return True


def families(parts: Iterable[Waits] = ()) -> Iterator[Metric]:
    """Yield the families of `parts`, which share a registry; without parts, only their names."""
    labels = ["db_system_name", "db_client_connection_pool_name"]
    pending = GaugeMetricFamily(
        "db_client_connection_pending_requests", "Checkouts that wait for a connection of the pool.", labels=labels
    )
    seconds = HistogramMetricFamily(
        "db_client_connection_wait_time_seconds",
        "Time that a checkout waited for a connection of the pool, without the time to make one.",
        labels=[*labels, "outcome"],
    )
    timeouts = CounterMetricFamily(
        "db_client_connection_timeouts",
        "Checkouts that got no connection within the pool's timeout.",
        labels=labels,
    )
    acquires, empty, cancelled = (
        CounterMetricFamily(f"db_client_connection_{name}acquires", text, labels=labels)
        for name, text in (
            ("", "Checkouts that were given a connection, or leave to make one."),
            ("empty_", "Checkouts of these that found no idle connection: they waited for one, or made one."),
            ("canceled_", "Checkouts that were cancelled while they waited."),
        )
    )
    for part in parts:
        for family, count in (
            (acquires, sum(part.seconds["ok"].snapshot()[0])),
            (empty, part.empty),
            (cancelled, sum(part.seconds["cancelled"].snapshot()[0])),
        ):
            family.add_metric(part.labels, count)
        pending.add_metric(part.labels, len(part.pending))
        expose_by(seconds, part.labels, part.seconds)
        timeouts.add_metric(part.labels, part.timeouts)
    yield from (pending, seconds, timeouts, acquires, empty, cancelled)
