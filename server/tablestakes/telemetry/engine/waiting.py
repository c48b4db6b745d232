"""Pools that time how long checkouts wait for a connection, because SQLAlchemy has no event for it."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from threading import Lock
from time import perf_counter

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy import exc
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, Pool, QueuePool

from ..account import POOL_WAIT, current_rpc
from ..internals import AsyncAdaptedQueue, Empty, HookedQueuePool, Queue, QueueCommon
from ..meter.guard import Guard
from ..meter.histogram import SECONDS, Histogram, expose_by
from ..tracing import DatabaseSpans
from .error import Errors, is_counted
from .identity import LABELS, Identity

OUTCOMES = ("ok", "timeout", "cancelled")


class Waits:
    """Counts and times the checkouts of one engine that wait for a connection.

    A wait does not include a connect, a ping or the time of listeners. A checkout that does not wait counts as a
    wait of zero seconds, so the count of the histogram is the number of checkouts.

    Args:
        labels: The values of `identity.LABELS`.
        errors: Counts the checkouts that end without a connection.
        guard: Catches failures of the counting, so that no checkout fails because of one.
        spans: Makes a span of each wait, None without traces.
    """

    def __init__(self, labels: Identity, errors: Errors, guard: Guard, spans: DatabaseSpans | None = None) -> None:
        self.labels = labels
        self._spans = spans
        self._guard = guard
        self._lock = Lock()
        self.seconds = {name: Histogram(SECONDS, self._lock) for name in OUTCOMES}
        self.timeouts = 0
        self.empty = 0
        self.waited = 0
        self.pending: set[object] = set()
        self._errors = errors
        # Nearly all checkouts do not wait, so counting one is a single call.
        self.did_not_wait: Callable[[], None] = partial(self.seconds["ok"].observe, 0.0)
        self.timed_out: Callable[[BaseException], None] = guard.wrap("pool timeout", self._timed_out)

    # If there are more callers than connections, every checkout waits, so these two catch their own exceptions.

    def wait_started(self, ticket: object, start: float) -> None:
        """Count a checkout that waits."""
        try:
            self.pending.add(ticket)
            account = current_rpc.get()
            if account is not None:
                account.begin(POOL_WAIT, start)
        except Exception:  # noqa: BLE001 - as Guard.wrap
            self._guard.failed("pool wait")

    def wait_ended(self, ticket: object, start: float, outcome: str, error: BaseException | None) -> None:
        """Count the end of a wait and its outcome."""
        try:
            now = perf_counter()
            self.pending.discard(ticket)
            account = current_rpc.get()
            if account is not None:
                account.end(POOL_WAIT, now)
            with self._lock:
                self.seconds[outcome].add(now - start)
                self.waited += 1
                self.empty += outcome == "ok"
            if self._spans is not None:
                self._spans.phase(POOL_WAIT, now - start, error)
            if outcome == "cancelled" and error is not None:
                self._errors.count("checkout", error)
        except Exception:  # noqa: BLE001 - as Guard.wrap
            self._guard.failed("pool wait")

    def connection_needed(self) -> None:
        """Count a checkout that found the pool empty and may make a new connection."""
        with self._lock:
            self.seconds["ok"].add(0.0)
            self.empty += 1

    def _timed_out(self, error: BaseException) -> None:
        # The pool may report the same error twice.
        if not is_counted(error):
            with self._lock:
                self.timeouts += 1
            self._errors.count("checkout", error)


class _TimedGet(QueueCommon[ConnectionPoolEntry]):
    waits: Waits | None = None

    def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
        waits = self.waits
        if waits is None:
            return super().get(block, timeout)
        # A pool that may make no more connections asks to wait even if a connection is idle, and an asynchronous
        # wait is expensive even if it ends at once. So try without waiting, unless another checkout waits already:
        # it is first.
        if not block or not waits.pending:
            try:
                item = super().get(False)
            except Empty:
                if not block:
                    raise
            else:
                waits.did_not_wait()
                return item
        error: BaseException | None
        ticket, start, outcome, error = object(), perf_counter(), "ok", None
        waits.wait_started(ticket, start)
        try:
            return super().get(True, timeout)
        except Empty:
            outcome, error = "timeout", TimeoutError()
            raise
        except BaseException as raised:
            outcome, error = "cancelled", raised
            raise
        finally:
            waits.wait_ended(ticket, start, outcome, error)


class _TimedQueue(_TimedGet, Queue[ConnectionPoolEntry]):
    pass


class _AsyncTimedQueue(_TimedGet, AsyncAdaptedQueue[ConnectionPoolEntry]):
    pass


class TimedQueuePool(HookedQueuePool, queue_class=_TimedQueue, logs_as=QueuePool):
    """SQLAlchemy's QueuePool, which also reports to an instrumentation how long checkouts wait.

    Pass it as `poolclass` to `create_engine`. Without an instrumentation it behaves like a QueuePool.
    """

    _waits: Waits | None = None

    def report_to(self, waits: Waits | None) -> None:
        """Report to `waits` from now on, None to stop; a pool that replaces this one in dispose() does the same."""
        self._waits = waits
        self.queue.waits = waits  # type: ignore[attr-defined]  # the queue is a _TimedGet

    def on_create(self) -> None:
        """Count a checkout that found the queue empty."""
        if self._waits is not None:
            self._waits.connection_needed()

    def on_timeout(self, error: exc.TimeoutError) -> None:
        """Count a checkout that got no connection in time."""
        if self._waits is not None:
            self._waits.timed_out(error)

    def recreate(self) -> QueuePool:
        """Return a new pool with the same settings, which reports to the same instrumentation."""
        pool = super().recreate()
        if isinstance(pool, TimedQueuePool):
            pool.report_to(self._waits)
        return pool

    def dispose(self) -> None:
        """Close the idle connections; taking them out of the queue for that is not counted as a checkout."""
        waits = self._waits
        self.report_to(None)
        try:
            super().dispose()
        finally:
            self.report_to(waits)


class AsyncTimedQueuePool(
    TimedQueuePool, AsyncAdaptedQueuePool, queue_class=_AsyncTimedQueue, logs_as=AsyncAdaptedQueuePool
):
    """SQLAlchemy's AsyncAdaptedQueuePool, which also reports to an instrumentation how long checkouts wait.

    Pass it as `poolclass` to `create_async_engine`.
    """


def report_waits(pool: Pool, waits: Waits | None) -> bool:
    """Make a pool report its waits, and return whether it can."""
    if not isinstance(pool, TimedQueuePool):
        return False
    pool.report_to(waits)
    return True


def families(parts: Iterable[Waits] = ()) -> Iterator[Metric]:
    """Yield the metric families of `parts`, which share a registry; without parts, they have no samples."""
    labels = [*LABELS]
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
