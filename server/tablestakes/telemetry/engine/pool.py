"""Counting the open connections of a pool from its own records, at each scrape."""

import math
from collections.abc import Iterable, Iterator
from weakref import ref

from prometheus_client.core import GaugeMetricFamily, Metric, UnknownMetricFamily
from sqlalchemy.engine import Engine
from sqlalchemy.pool import (
    AssertionPool,
    ConnectionPoolEntry,
    NullPool,
    Pool,
    QueuePool,
    SingletonThreadPool,
    StaticPool,
)

from ..internals import max_overflow
from .identity import LABELS, Identity
from .lifecycle import CHECKED_OUT


class Connections:
    """Keeps the connection records of one engine and reads the state of each record when it is scraped.

    This works for every kind of pool. The counters of the pools do not: NullPool and StaticPool have none, and the
    other pools count a record with a dead connection as idle, and lose count of checked-out connections when
    `dispose()` replaces the pool. Counting checkouts up and checkins down does not work either: there are checkins
    without a checkout, connections that end without a checkin, and a checkin is reported before the record is back
    in the pool. A record, however, always knows whether it has a connection and whether that is in use.

    References to records are weak, so a record disappears from here when SQLAlchemy drops it without an event.

    Args:
        engine: The engine, whose current pool is read while the engine lives.
        labels: The values of `identity.LABELS`.
    """

    def __init__(self, engine: Engine, labels: Identity) -> None:
        self.labels = labels
        self._engine = ref(engine)
        # Only add, discard, in and copy are used on these sets: each is atomic, also during a scrape.
        self._records: set[ref[ConnectionPoolEntry]] = set()
        self._retired: set[ref[ConnectionPoolEntry]] = set()
        # The methods that have held a connection at some scrape, so that they are exposed at zero afterwards; and
        # "", so that the metric is always there.
        self._holders: set[str] = {""}

    def on_connect(self, _connection: object, record: ConnectionPoolEntry) -> None:
        """Keep a record; also called at the checkout of a connection that is older than the listeners."""
        if ref(record) not in self._records:
            self._records.add(ref(record, self._records.discard))

    def on_engine_disposed(self, _engine: Engine) -> None:
        """Start over with the new pool, but keep connections that are still checked out of the old one."""
        for record_ref in self._records.copy():
            record = record_ref()
            if record is not None and record.in_use:
                self._retired.add(ref(record, self._retired.discard))
            self._records.discard(record_ref)

    def counts(self) -> tuple[int, int]:
        """Return the number of open connections that are idle in the pool, and the number that are used.

        Several checkouts may share the one connection of a StaticPool: it is idle as soon as one of them returns
        it.
        """
        current = [record for record in _existing(self._records) if record.dbapi_connection is not None]
        used = sum(record.in_use for record in current)
        retired = sum(record.in_use and record.dbapi_connection is not None for record in _existing(self._retired))
        return len(current) - used, used + retired

    def held_by_method(self) -> dict[str, int]:
        """Return how many connections the RPCs of each method hold now, by its full name.

        Connections that are held outside of RPCs are those of the method "". The sum is the number of used ones.
        """
        held: dict[str, int] = dict.fromkeys(self._holders, 0)
        for record in (*_existing(self._records), *_existing(self._retired)):
            if record.in_use and record.dbapi_connection is not None:
                _, account = record.info.get(CHECKED_OUT, (0.0, None))
                method = "" if account is None else account.full_method
                held[method] = held.get(method, 0) + 1
        self._holders.update(held)
        return held

    def idle_maximum(self) -> float | None:
        """Return how many idle connections the pool keeps: +Inf without a limit, None if it does not say."""
        engine = self._engine()
        return None if engine is None else _idle_maximum(engine.pool)

    def maximum(self) -> float | None:
        """Return how many connections the pool allows: +Inf without a limit, None if it does not say."""
        engine = self._engine()
        return None if engine is None else _maximum(engine.pool)


def _existing(refs: set[ref[ConnectionPoolEntry]]) -> list[ConnectionPoolEntry]:
    return [record for record in (record_ref() for record_ref in refs.copy()) if record is not None]


def _maximum(pool: Pool) -> float | None:
    match pool:
        case QueuePool():
            overflow = max_overflow(pool)
            if overflow is None:
                return None
            return math.inf if overflow < 0 else pool.size() + overflow
        case SingletonThreadPool():
            return pool.size
        case StaticPool() | AssertionPool():
            return 1
        case NullPool():
            return math.inf
        case _:
            return None


def _idle_maximum(pool: Pool) -> float | None:
    match pool:
        case QueuePool():
            return pool.size() or math.inf
        case NullPool():
            return 0
        case _:
            return _maximum(pool)


def families(parts: Iterable[Connections] = ()) -> Iterator[Metric]:
    """Yield the metric families of `parts`, which share a registry; without parts, they have no samples."""
    common = [*LABELS]
    # It is a gauge except for its TYPE line: the name is OpenTelemetry's, and `promtool check metrics` rejects a
    # gauge whose name ends in _count. Queries do not see the difference.
    count = UnknownMetricFamily(
        "db_client_connection_count",
        "Open connections of the pool by state: idle or used.",
        labels=[*common, "db_client_connection_state"],
    )
    maximum = GaugeMetricFamily(
        "db_client_connection_max",
        "Connections the pool may have open at once, overflow included; +Inf if it sets no limit.",
        labels=common,
    )
    idle_maximum = GaugeMetricFamily(
        "db_client_connection_idle_max",
        "Idle connections the pool keeps; +Inf if it sets no limit.",
        labels=common,
    )
    idle_minimum = GaugeMetricFamily(
        "db_client_connection_idle_min", "Idle connections the pool keeps at least: none.", labels=common
    )
    held = GaugeMetricFamily(
        "rpc_db_connections_held",
        "Connections that the RPCs of a method hold; those that are held outside of RPCs have no method.",
        labels=[*common, "grpc_service", "grpc_method"],
    )
    for part in parts:
        idle, used = part.counts()
        count.add_metric((*part.labels, "idle"), idle)
        count.add_metric((*part.labels, "used"), used)
        for name, holding in part.held_by_method().items():
            service, _, method = name.removeprefix("/").partition("/")
            held.add_metric((*part.labels, service, method), holding)
        for family, limit in ((maximum, part.maximum()), (idle_maximum, part.idle_maximum()), (idle_minimum, 0)):
            if limit is not None:
                family.add_metric(part.labels, limit)
    yield from (count, maximum, idle_maximum, idle_minimum, held)
