"""The pool under the names of Go's `database/sql` metrics, for dashboards that know only these."""

import math
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from .instrument import Instrumentation

_GAUGES = {
    "max_open_connections": "Maximum number of open connections to the database.",
    "open_connections": "The number of established connections both in use and idle.",
    "in_use_connections": "The number of connections currently in use.",
    "idle_connections": "The number of idle connections.",
}
_COUNTERS = {
    "wait_count": "The total number of connections waited for.",
    "wait_duration_seconds": "The total time blocked waiting for a new connection.",
    "max_idle_closed": "The total number of connections closed due to SetMaxIdleConns.",
    "max_idle_time_closed": "The total number of connections closed due to SetConnMaxIdleTime.",
    "max_lifetime_closed": "The total number of connections closed due to SetConnMaxLifetime.",
}


class GoSqlMetrics:
    """Exposes the pools of engines as client_golang's `collectors.NewDBStatsCollector` exposes those of Go.

    Names, help texts and the label `db_name` are the same. Everything is computed at a scrape, from what is counted
    anyway. SQLAlchemy's pools close no connection for being idle, so that counter is always zero, and so are those
    of waits if the pool does not report its waits. As in Go, a maximum of zero means that there is none.

    Args:
        registry: The registry that exposes them.
        engines: The instrumentations of the engines. `db_name` is the name of an engine's database, or of its pool
            if the database is a file.

    Raises:
        ValueError: The registry has metrics of these names already.
    """

    def __init__(self, registry: CollectorRegistry, engines: Sequence[Instrumentation]) -> None:
        self._engines = tuple(engines)
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """Yield the families without samples."""
        yield from _families(())

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they are now."""
        yield from _families(self._engines)


def _families(engines: Sequence[Instrumentation]) -> Iterator[Metric]:
    read = {engine.labels.namespace or engine.labels.pool: _read(engine) for engine in engines}
    for kind, helps in ((GaugeMetricFamily, _GAUGES), (CounterMetricFamily, _COUNTERS)):
        for name, text in helps.items():
            family = kind(f"go_sql_{name}", text, labels=["db_name"])
            for db_name, values in read.items():
                family.add_metric((db_name,), values[name])
            yield family


def _read(engine: Instrumentation) -> dict[str, float]:
    idle, used = engine.connections.counts()
    maximum, closed = engine.connections.maximum(), engine.lifecycle.closed()
    return {
        "max_open_connections": maximum if maximum is not None and math.isfinite(maximum) else 0,
        "open_connections": idle + used,
        "in_use_connections": used,
        "idle_connections": idle,
        "wait_count": engine.waits.waited,
        "wait_duration_seconds": sum(histogram.snapshot()[1] for histogram in engine.waits.seconds.values()),
        "max_idle_closed": closed["overflow"],
        "max_idle_time_closed": 0,
        "max_lifetime_closed": closed["recycle"],
    }
