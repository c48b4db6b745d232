"""Timing how connections are made, used and reset, and counting why they are closed."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import Any
from weakref import ref

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import (
    AssertionPool,
    ConnectionPoolEntry,
    NullPool,
    Pool,
    PoolResetState,
    QueuePool,
    SingletonThreadPool,
    StaticPool,
)

from ..account import CONNECT, current_rpc
from ..internals import is_invalidated_with_its_pool
from ..meter.guard import Guard
from ..meter.histogram import LONG_SECONDS, SECONDS, Histogram, expose_by
from ..meter.tally import Tally
from ..tracing import DatabaseSpans
from .error import Errors
from .failure import outcome
from .identity import LABELS, Identity

OUTCOMES = ("ok", "error", "cancelled", "timeout")
CAUSES = ("recycle", "overflow", "invalidate", "soft_invalidate", "dispose", "detach", "gc", "other")
# Keys in the `info` of a connection record: perf_counter() at the start of something, and the cause of a close.
_CONNECT_STARTED = "tablestakes_connect_started"
CHECKED_OUT = "tablestakes_checked_out"
"""The key in the `info` of a record that is checked out: since when, and by the account of which RPC or None."""
_RESET_STARTED, _CAUSE = "tablestakes_reset_started", "tablestakes_cause"
LIFETIMES = (1.0, 10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0)
"""Bounds in seconds; the last is a day."""


class Lifecycle:
    """Follows the connections of one engine from connect to close.

    The event `close` has no cause. An invalidation is an event before it. A connection that the pool has no room
    for is closed while the pool is full. Other causes are known from what happens next: if the same connection
    record connects again, the connection was recycled; if the record is discarded, the pool was disposed of.

    Args:
        engine: The engine, whose current pool is read while the engine lives.
        labels: The values of `identity.LABELS`.
        errors: Counts the connects that fail.
        guard: Catches failures of the counting, so that no connect fails because of one.
        spans: Makes a span of each connect, None without traces.
    """

    def __init__(
        self,
        engine: Engine,
        labels: Identity,
        errors: Errors,
        guard: Guard,
        spans: DatabaseSpans | None = None,
    ) -> None:
        self.labels = labels
        self._spans = spans
        self.create_seconds = {name: Histogram(SECONDS) for name in OUTCOMES}
        self.use_seconds = Histogram(LONG_SECONDS)
        self.lifetime_seconds = Histogram(LIFETIMES)
        self.reset_seconds = Histogram(SECONDS)
        # Several checkouts share the one connection of a StaticPool at a time, and its checkins do not say which of
        # them has ended.
        self.exclusive_checkouts = not isinstance(engine.pool, StaticPool)
        # In these pools, a record that is discarded after its connection was closed was disposed of with its pool.
        known_pool = isinstance(engine.pool, (QueuePool, SingletonThreadPool, StaticPool, AssertionPool))
        self._cause_of_discarded = "dispose" if known_pool else "other"
        self._engine = ref(engine)
        self._asynchronous = engine.dialect.is_async
        self._errors = errors
        self._created = Tally()
        self._closed = Tally()
        self._connect_calls: set[object] = set()
        # When the connect started, by id of the driver's connection, until the connection is set up or given up.
        self._connecting: dict[int, float] = {}
        # When each open connection became ready.
        self._ready: dict[ref[ConnectionPoolEntry], float] = {}
        # Closed connections that are not counted yet, with the cause if their record connects again.
        self._closed_records: dict[ref[ConnectionPoolEntry], str] = {}
        # The cause and lifetime of connections that were garbage-collected. Weakref callbacks can run at any point,
        # even while this thread holds our lock, so they only append to a deque.
        self._garbage: deque[tuple[str, float | None]] = deque()
        self._guard = guard
        self._record_failure = guard.wrap("connect failure", self._connect_failed)

    def on_do_connect(
        self, _dialect: object, record: ConnectionPoolEntry, _arguments: object, _options: object
    ) -> None:
        """Start the clock of a connect."""
        self._count_closed_before(record)
        record.info[_CONNECT_STARTED] = now = perf_counter()
        account = current_rpc.get()
        if account is not None:
            account.begin(CONNECT, now)

    def wrap_connect(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap Dialect.connect to count its failures: SQLAlchemy does not pass an OSError to `handle_error`."""

        def connect(*arguments: Any, **options: Any) -> Any:
            start, call = perf_counter(), object()
            self._connect_calls.add(call)
            try:
                driver = original(*arguments, **options)
            except BaseException as error:
                self._record_failure(error, start)
                raise
            finally:
                self._connect_calls.discard(call)
            self._connecting[id(driver)] = start
            return driver

        return connect

    def wrap_do_terminate(self, original: Callable[[Any], None]) -> Callable[[Any], None]:
        """Wrap Dialect.do_terminate: a connection that is terminated before it is set up is a failed connect."""

        def do_terminate(driver: DBAPIConnection) -> None:
            start, error = self._connecting.pop(id(driver), None), sys.exception()
            if start is not None and error is not None:
                self._record_failure(error, start)
            original(driver)

        return do_terminate

    def _connect_failed(self, error: BaseException, start: float) -> None:
        now = perf_counter()
        self._errors.count("connect", error)
        self.create_seconds[outcome(error)].observe(now - start)
        account = current_rpc.get()
        if account is not None:
            account.end(CONNECT, now)
        if self._spans is not None:
            self._spans.phase(CONNECT, now - start, error)

    def on_connect(self, driver: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        """Count a connection that is ready to be used; listeners that were added earlier have set it up."""
        self._connecting.pop(id(driver), None)
        self._count_closed_before(record)
        self._created.add(())
        self._ready[ref(record, self._on_collected)] = now = perf_counter()
        started = record.info.pop(_CONNECT_STARTED, None)
        if started is not None:
            self.create_seconds["ok"].observe(now - started)
            account = current_rpc.get()
            if account is not None:
                account.end(CONNECT, now)
            if self._spans is not None:
                self._spans.phase(CONNECT, now - started)

    def on_checkout(self, record: ConnectionPoolEntry) -> None:
        """Start the clock of a use."""
        record.info[CHECKED_OUT] = perf_counter(), current_rpc.get()

    def on_checkin(self, _driver: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        """Stop the clocks of a use and of a reset, if they run: SQLAlchemy has checkins without a checkout."""
        try:
            info, now = record.info, perf_counter()
            checked_out = info.pop(CHECKED_OUT, None)
            if checked_out is not None:
                since, account = checked_out
                self.use_seconds.observe(now - since)
                if account is not None:
                    account.add_hold(now - since)
            if _RESET_STARTED in info:
                self.reset_seconds.observe(now - info.pop(_RESET_STARTED))
        except Exception:  # noqa: BLE001 - as Guard.wrap, without one more call for each checkin
            self._guard.failed("checkin")

    def on_invalidate(self, _driver: DBAPIConnection, record: ConnectionPoolEntry, _error: object) -> None:
        """Note the cause of the close that follows."""
        record.info[_CAUSE] = "invalidate"

    def on_soft_invalidate(self, _driver: DBAPIConnection, record: ConnectionPoolEntry, _error: object) -> None:
        """Note why the next checkout will close this connection and connect again."""
        record.info[_CAUSE] = "soft_invalidate"

    def on_reset(self, driver: DBAPIConnection, record: ConnectionPoolEntry | None, state: PoolResetState) -> None:
        """Start the clock of the pool's own ROLLBACK, if the driver will send one.

        The pool calls the driver's `rollback()` after nearly every checkout, but outside of a transaction the
        driver sends nothing.

        If the pool may not use an asynchronous connection here, the garbage collector has found the connection.
        """
        try:
            if record is None:
                return
            if not state.asyncio_safe and self._asynchronous:
                record.info[_CAUSE] = "gc"
            elif not state.transaction_was_reset and _in_transaction(driver):
                record.info[_RESET_STARTED] = perf_counter()
        except Exception:  # noqa: BLE001 - as in on_checkin
            self._guard.failed("reset")

    def on_close(self, _driver: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        """Count the closed connection if its cause is known, or else keep it until the cause is known."""
        self._observe_lifetime(ref(record))
        engine, cause = self._engine(), record.info.pop(_CAUSE, None)
        pool = None if engine is None else engine.pool
        if cause == "invalidate":
            self._closed.add((cause,))
        elif _is_full(pool):
            self._closed.add(("overflow",))
        else:
            # After its whole pool was invalidated, a connection is closed when it would next be used.
            with_pool = is_invalidated_with_its_pool(pool, record)
            self._closed_records[ref(record, self._on_collected)] = (
                "invalidate" if with_pool else cause or "recycle"
            )

    def _count_closed_before(self, record: ConnectionPoolEntry) -> None:
        cause = self._closed_records.pop(ref(record), None)
        if cause is not None:
            self._closed.add((cause,))

    def _observe_lifetime(self, place: ref[ConnectionPoolEntry]) -> None:
        ready = self._ready.pop(place, None)
        if ready is not None:
            self.lifetime_seconds.observe(perf_counter() - ready)

    def on_detach(self, _driver: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        """Count a connection that no longer belongs to the pool."""
        self._observe_lifetime(ref(record))
        record.info.pop(CHECKED_OUT, None)
        self._closed.add((record.info.pop(_CAUSE, "detach"),))

    def on_engine_disposed(self, _engine: Engine) -> None:
        """Count the connections that were closed with their pool and whose records still exist."""
        while self._closed_records:
            self._closed_records.popitem()
            self._closed.add(("dispose",))

    def _on_collected(self, place: ref[ConnectionPoolEntry]) -> None:
        ready = self._ready.pop(place, None)
        if ready is not None:
            self._garbage.append(("gc", perf_counter() - ready))
        elif self._closed_records.pop(place, None) is not None:
            self._garbage.append((self._cause_of_discarded, None))

    def constructing(self) -> int:
        """Return the number of connections that are being made or set up now."""
        return len(self._connect_calls) + len(self._connecting)

    def created(self) -> int:
        """Return the number of connections that were made."""
        return sum(count for _, count in self._created)

    def closed(self) -> dict[str, int]:
        """Return the number of connections that were closed, by cause."""
        while self._garbage:
            cause, seconds = self._garbage.popleft()
            self._closed.add((cause,))
            if seconds is not None:
                self.lifetime_seconds.observe(seconds)
        return dict.fromkeys(CAUSES, 0) | {cause: count for (cause,), count in self._closed}


def _in_transaction(driver: Any) -> bool:
    """Return whether a connection of the driver is in a transaction; of an unknown driver, assume it."""
    connection = getattr(driver, "driver_connection", driver)
    if (ask := getattr(connection, "is_in_transaction", None)) is not None:  # asyncpg
        return bool(ask())
    if (state := getattr(connection, "in_transaction", None)) is not None:  # sqlite3, aiosqlite
        return bool(state)
    # psycopg and psycopg2 have libpq's status, which is 0 outside of a transaction.
    return getattr(getattr(connection, "info", None), "transaction_status", 1) != 0


def _is_full(pool: Pool | None) -> bool:
    match pool:
        case QueuePool():
            return 0 < pool.size() <= pool.checkedin()
        case NullPool():
            return True
        case _:
            return False


def families(parts: Iterable[Lifecycle] = ()) -> Iterator[Metric]:
    """Yield the metric families of `parts`, which share a registry; without parts, they have no samples."""
    labels = [*LABELS]
    create = HistogramMetricFamily(
        "db_client_connection_create_time_seconds",
        "Time to make a connection and set it up, or until that failed.",
        labels=[*labels, "outcome"],
    )
    use = HistogramMetricFamily(
        "db_client_connection_use_time_seconds", "Time from a checkout to its checkin.", labels=labels
    )
    lifetime = HistogramMetricFamily(
        "db_client_connection_lifetime_seconds",
        "Time from a connection's being ready until it left the pool for good.",
        labels=labels,
    )
    reset = HistogramMetricFamily(
        "db_client_connection_reset_seconds",
        "Time of the ROLLBACK that a pool sent for a connection that was returned in a transaction.",
        labels=labels,
    )
    created = CounterMetricFamily("db_client_connections_created", "Connections that were made.", labels=labels)
    constructing = GaugeMetricFamily(
        "db_client_connections_constructing", "Connections that are being made and set up.", labels=labels
    )
    closed = CounterMetricFamily(
        "db_client_connections_closed",
        "Connections that left the pool for good, by cause.",
        labels=[*labels, "cause"],
    )
    for part in parts:
        expose_by(create, part.labels, part.create_seconds)
        if part.exclusive_checkouts:
            part.use_seconds.expose(use, part.labels)
            part.reset_seconds.expose(reset, part.labels)
        created.add_metric(part.labels, part.created())
        constructing.add_metric(part.labels, part.constructing())
        for cause, count in part.closed().items():
            closed.add_metric((*part.labels, cause), count)
        part.lifetime_seconds.expose(lifetime, part.labels)
    yield from (create, use, lifetime, reset, created, constructing, closed)
