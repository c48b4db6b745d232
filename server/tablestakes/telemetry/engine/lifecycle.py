"""The life of a connection: made, used, and closed for a reason."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import Any
from weakref import ref

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
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
from ..meter.guard import Guard
from ..meter.histogram import LONG_SECONDS, SECONDS, Histogram, expose_by
from ..meter.tally import Tally
from ..tracing import DatabaseSpans
from .error import Errors
from .failure import outcome

OUTCOMES = ("ok", "error", "cancelled", "timeout")
CAUSES = ("recycle", "overflow", "invalidate", "soft_invalidate", "dispose", "detach", "gc", "other")
_STARTED, _TAKEN, _RESET = "tablestakes_started", "tablestakes_taken", "tablestakes_reset"
_CAUSE = "tablestakes_cause"
LIFETIMES = (1.0, 10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0)
"""Seconds; a day is the last."""


class Lifecycle:
    """Follows the connections of one engine from connect to close.

    `close` does not say why. An invalidation says so before it; a connection that the pool has no place for is
    closed while the pool is full; and the others are told by what comes after: a connect in the same place is a
    recycling, and the end of the place a disposal.

    Args:
        engine: Asked, while it lives, for its current pool.
        labels: `db_system_name` and `db_client_connection_pool_name`.
        errors: Where connects that fail are counted.
        guard: Keeps failures of the counting from the connect.
        spans: Told of each connect, if there are any to be made.
    """

    def __init__(
        self,
        engine: Engine,
        labels: tuple[str, str],
        errors: Errors,
        guard: Guard,
        spans: DatabaseSpans | None = None,
    ) -> None:
        self.labels = labels
        self._spans = spans
        self.create = {name: Histogram(SECONDS) for name in OUTCOMES}
        self.use = Histogram(LONG_SECONDS)
        self.lifetime = Histogram(LIFETIMES)
        self.reset = Histogram(SECONDS)
        # The one connection of a StaticPool is lent to many at a time, and its checkins do not say whose it was.
        self.lends_one_by_one = not isinstance(engine.pool, StaticPool)
        # A place that is empty and then gone has been disposed of, in a pool of which that much is known.
        known = isinstance(engine.pool, (QueuePool, SingletonThreadPool, StaticPool, AssertionPool))
        self._without_a_word = "dispose" if known else "other"
        self._engine = ref(engine)
        self._asynchronous = engine.dialect.is_async
        self._errors = errors
        self._created = Tally()
        self._closed = Tally()
        # By id of the driver's connection, from when it is made until it is set up or given up.
        self._raw: dict[int, float] = {}
        # When each was ready.
        self._open: dict[ref[ConnectionPoolEntry], float] = {}
        self._unexplained: dict[ref[ConnectionPoolEntry], str] = {}
        # What the garbage collector took. It may call in the middle of anything, so no lock is taken there.
        self._gone: deque[tuple[str, float | None]] = deque()
        self._guard = guard
        self._fail = guard.wrap("connect failure", self._failed)

    def connecting(self, _dialect: object, record: ConnectionPoolEntry, _arguments: object, _named: object) -> None:
        """do_connect: the clock of a connect starts."""
        self._explain(record)
        record.info[_STARTED] = now = perf_counter()
        account = current_rpc.get()
        if account is not None:
            account.begin(CONNECT, now)

    def connect(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Lead Dialect.connect, with its failure seen: `handle_error` does not hear of an OSError."""

        def connect(*arguments: Any, **named: Any) -> Any:
            start = perf_counter()
            try:
                made = original(*arguments, **named)
            except BaseException as error:
                self._fail(error, start)
                raise
            self._raw[id(made)] = start
            return made

        return connect

    def terminate(self, original: Callable[[Any], None]) -> Callable[[Any], None]:
        """Lead Dialect.do_terminate: what ends before it is set up is a connect that failed."""

        def do_terminate(driver: DBAPIConnection) -> None:
            start, error = self._raw.pop(id(driver), None), sys.exception()
            if start is not None and error is not None:
                self._fail(error, start)
            original(driver)

        return do_terminate

    def _failed(self, error: BaseException, start: float) -> None:
        now = perf_counter()
        self._errors.count("connect", error)
        self.create[outcome(error)].observe(now - start)
        account = current_rpc.get()
        if account is not None:
            account.end(CONNECT, now)
        if self._spans is not None:
            self._spans.phase(CONNECT, now - start, error)

    def connected(self, driver: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        """Connect, after everybody else's listeners: a connection is ready to be used."""
        self._raw.pop(id(driver), None)
        self._explain(record)
        self._created.add(())
        self._open[ref(record, self._collected)] = now = perf_counter()
        started = record.info.pop(_STARTED, None)
        if started is not None:
            self.create["ok"].observe(now - started)
            account = current_rpc.get()
            if account is not None:
                account.end(CONNECT, now)
            if self._spans is not None:
                self._spans.phase(CONNECT, now - started)

    def take(self, record: ConnectionPoolEntry) -> None:
        """Checkout: the clock of a use starts."""
        record.info[_TAKEN] = perf_counter()

    def give(self, _driver: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        """Checkin: it stops, and that of a reset; a checkin that follows no checkout has none."""
        try:
            info, now = record.info, perf_counter()
            taken = info.pop(_TAKEN, None)
            if taken is not None:
                self.use.observe(now - taken)
            if _RESET in info:
                self.reset.observe(now - info.pop(_RESET))
        except Exception:  # noqa: BLE001 - as Guard.wrap, without a call more for each checkin
            self._guard.failed("checkin")

    def invalidate(self, _driver: DBAPIConnection, record: ConnectionPoolEntry, _error: object) -> None:
        """Invalidate: the close that follows is of this."""
        record.info[_CAUSE] = "invalidate"

    def doubt(self, _driver: DBAPIConnection, record: ConnectionPoolEntry, _error: object) -> None:
        """soft_invalidate: the next checkout will put another connection in its place."""
        record.info[_CAUSE] = "soft_invalidate"

    def clean(self, _driver: DBAPIConnection, record: ConnectionPoolEntry | None, state: PoolResetState) -> None:
        """Reset: the clock of the pool's own ROLLBACK starts, unless a transaction has ended with one already.

        If it may not do anything, the garbage collector found an asynchronous connection.
        """
        try:
            if record is None:
                return
            if not state.asyncio_safe and self._asynchronous:
                record.info[_CAUSE] = "gc"
            elif not state.transaction_was_reset:
                record.info[_RESET] = perf_counter()
        except Exception:  # noqa: BLE001 - as in give
            self._guard.failed("reset")

    def close(self, _driver: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        """Close: count it now if its cause is known."""
        self._end(ref(record))
        engine, cause = self._engine(), record.info.pop(_CAUSE, None)
        pool = None if engine is None else engine.pool
        if cause == "invalidate":
            self._closed.add((cause,))
        elif _keeps_no_more(pool):
            self._closed.add(("overflow",))
        else:
            # After an invalidation of the whole pool its other connections are replaced as they are next used.
            whole = getattr(pool, "_invalidate_time", 0) > getattr(record, "starttime", 0)
            self._unexplained[ref(record, self._collected)] = "invalidate" if whole else cause or "recycle"

    def _explain(self, record: ConnectionPoolEntry) -> None:
        cause = self._unexplained.pop(ref(record), None)
        if cause is not None:
            self._closed.add((cause,))

    def _end(self, place: ref[ConnectionPoolEntry]) -> None:
        ready = self._open.pop(place, None)
        if ready is not None:
            self.lifetime.observe(perf_counter() - ready)

    def detach(self, _driver: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        """Detach: the connection is not the pool's any more."""
        self._end(ref(record))
        record.info.pop(_TAKEN, None)
        self._closed.add((record.info.pop(_CAUSE, "detach"),))

    def dispose(self, _engine: Engine) -> None:
        """engine_disposed: what was closed by it and is still referred to."""
        while self._unexplained:
            self._unexplained.popitem()
            self._closed.add(("dispose",))

    def _collected(self, gone: ref[ConnectionPoolEntry]) -> None:
        ready = self._open.pop(gone, None)
        if ready is not None:
            self._gone.append(("gc", perf_counter() - ready))
        elif self._unexplained.pop(gone, None) is not None:
            self._gone.append((self._without_a_word, None))

    def created(self) -> int:
        """Return how many connections were made."""
        return sum(count for _, count in self._created)

    def closed(self) -> dict[str, int]:
        """Return how many connections were closed, by cause."""
        while self._gone:
            cause, seconds = self._gone.popleft()
            self._closed.add((cause,))
            if seconds is not None:
                self.lifetime.observe(seconds)
        return dict.fromkeys(CAUSES, 0) | {cause: count for (cause,), count in self._closed}


def _keeps_no_more(pool: Pool | None) -> bool:
    match pool:
        case QueuePool():
            return 0 < pool.size() <= pool.checkedin()
        case NullPool():
            return True
        case _:
            return False


def families(parts: Iterable[Lifecycle] = ()) -> Iterator[Metric]:
    """Yield the families of `parts`, which share a registry; without parts, only their names."""
    labels = ["db_system_name", "db_client_connection_pool_name"]
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
        "Time that a pool took to clean a connection that was returned in a transaction, or in none.",
        labels=labels,
    )
    created = CounterMetricFamily("db_client_connections_created", "Connections that were made.", labels=labels)
    closed = CounterMetricFamily(
        "db_client_connections_closed",
        "Connections that left the pool for good, by cause.",
        labels=[*labels, "cause"],
    )
    for part in parts:
        expose_by(create, part.labels, part.create)
        if part.lends_one_by_one:
            part.use.expose(use, part.labels)
            part.reset.expose(reset, part.labels)
        created.add_metric(part.labels, part.created())
        for cause, count in part.closed().items():
            closed.add_metric((*part.labels, cause), count)
        part.lifetime.expose(lifetime, part.labels)
    yield from (create, use, lifetime, reset, created, closed)
