"""How many connections there are: read from the pool's own records when a scrape asks."""

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


class Connections:
    """Knows the connection records of one engine, by identity, and asks each of them what it is doing.

    One mechanism for every kind of pool. A pool's counters are not it: NullPool and StaticPool have none, the
    others count records whose connection is dead as idle, and forget what was checked out when dispose() put
    another pool in their place. Neither is counting checkouts up and checkins down: there are checkins
    without a checkout, connections that end without a checkin, and a checkin comes before the record is back.
    A record, however, always says whether it has a connection and whether that is in use.

    Records are held weakly, so whatever was never announced as closed is gone when SQLAlchemy lets go of it.

    Args:
        engine: Asked, while it lives, for its current pool.
        system: `db_system_name`.
        pool_name: `db_client_connection_pool_name`.
    """

    def __init__(self, engine: Engine, *, system: str, pool_name: str) -> None:
        self.labels = (system, pool_name)
        self._engine = ref(engine)
        # Only add, discard, in and copy are used on them: each is atomic, also against a scrape.
        self._records: set[ref[ConnectionPoolEntry]] = set()
        self._retired: set[ref[ConnectionPoolEntry]] = set()

    def meet(self, _connection: object, record: ConnectionPoolEntry, *_proxy: object) -> None:
        """connect, and checkout for a connection that was there before the listeners were."""
        if ref(record) not in self._records:
            self._records.add(ref(record, self._records.discard))

    def retire(self, _engine: Engine) -> None:
        """engine_disposed: the pool is a new one, but what is checked out of the old one is still used."""
        for known in self._records.copy():
            record = known()
            if record is not None and record.in_use:
                self._retired.add(ref(record, self._retired.discard))
            self._records.discard(known)

    def counts(self) -> tuple[int, int]:
        """Return how many open connections are idle in the pool and how many are used.

        A StaticPool lends its one connection to many at a time: it is idle as soon as one has returned it.
        """
        current = [record for record in _living(self._records) if record.dbapi_connection is not None]
        used = sum(record.in_use for record in current)
        retired = sum(record.in_use and record.dbapi_connection is not None for record in _living(self._retired))
        return len(current) - used, used + retired

    def kept(self) -> float | None:
        """Return how many idle connections the pool keeps: +Inf without a limit, None if it does not say."""
        engine = self._engine()
        return None if engine is None else _kept(engine.pool)

    def maximum(self) -> float | None:
        """Return how many connections the pool allows: +Inf without a limit, None if it does not say."""
        engine = self._engine()
        return None if engine is None else _maximum(engine.pool)


def _living(refs: set[ref[ConnectionPoolEntry]]) -> list[ConnectionPoolEntry]:
    return [record for record in (known() for known in refs.copy()) if record is not None]


def _maximum(pool: Pool) -> float | None:
    match pool:
        case QueuePool():
            # No public method tells what is allowed; overflow() is what is in use, and below zero at first.
            overflow: int | None = getattr(pool, "_max_overflow", None)
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


def _kept(pool: Pool) -> float | None:
    match pool:
        case QueuePool():
            return pool.size() or math.inf
        case NullPool():
            return 0
        case _:
            return _maximum(pool)


def families(parts: Iterable[Connections] = ()) -> Iterator[Metric]:
    """Yield the families of `parts`, which share a registry; without parts, only their names."""
    common = ["db_system_name", "db_client_connection_pool_name"]
    # A gauge in all but its TYPE line: the name is OpenTelemetry's, and `promtool check metrics` refuses a
    # gauge whose name ends in _count. Nothing that queries the metric sees the difference.
    count = UnknownMetricFamily(
        "db_client_connection_count",
        "Open connections of the pool by state: idle or used.",
        labels=[*common, "state"],
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
    for part in parts:
        idle, used = part.counts()
        count.add_metric((*part.labels, "idle"), idle)
        count.add_metric((*part.labels, "used"), used)
        for family, limit in ((maximum, part.maximum()), (idle_maximum, part.kept()), (idle_minimum, 0)):
            if limit is not None:
                family.add_metric(part.labels, limit)
    yield from (count, maximum, idle_maximum, idle_minimum)
