"""What the RPCs of a method spend on the database: statements, time by phase, and statements repeated."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from threading import Lock

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from server.telemetry.account import PHASES, Repetition, RpcAccount
from server.telemetry.histogram import Histogram
from server.telemetry.tally import OTHER, Tally

_log = logging.getLogger("tablestakes.telemetry.repeated")
QUERIES = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0)
_TEXT = 2_000
# Lines of the log, for as long as the process lives.
_LINES = 1_000


class Repeats:
    """Decides which repetitions are suspect, and tells of each once.

    Args:
        threshold: How often one RPC executes a statement until it is suspect.
    """

    __slots__ = ("_told", "threshold")

    def __init__(self, threshold: int) -> None:
        self.threshold = threshold
        self._told: set[tuple[str, str]] = set()

    def tell(self, full_method: str, repetition: Repetition) -> None:
        """Log `repeated statement`, the first time that this method repeats this statement."""
        key = (full_method, repetition.statement)
        if key in self._told or len(self._told) >= _LINES:
            return
        self._told.add(key)
        # A log handler that raises must not fail the RPC.
        with suppress(Exception):
            _log.warning(
                "repeated statement",
                extra={
                    "rpc_method": full_method,
                    "db_operation_name": repetition.operation.name,
                    "db_collection_name": repetition.operation.collection,
                    "db_query_text": repetition.statement[:_TEXT],
                    "times": repetition.times,
                    "threshold": self.threshold,
                },
            )


class Spending:
    """What the RPCs of one method have spent. Safe to use from any thread.

    Args:
        service: `grpc_service`.
        method: `grpc_method`.
        repeats: Decides which repetitions are suspect.
    """

    __slots__ = ("_lock", "_queries", "_repeated", "_repeats", "_seconds", "labels")

    def __init__(self, service: str, method: str, repeats: Repeats) -> None:
        self.labels = (service, method)
        self._repeats = repeats
        self._queries = Histogram(QUERIES)
        self._repeated = Tally(50)
        self._seconds = [0.0] * len(PHASES)
        self._lock = Lock()

    def add(self, account: RpcAccount) -> None:
        """Count what an RPC has spent; its account is closed."""
        self._queries.observe(account.statements)
        other = max(0.0, account.total - sum(account.seconds))
        with self._lock:
            for phase, seconds in enumerate((*account.seconds, other)):
                self._seconds[phase] += seconds
        for repetition in account.repetitions.values():
            if repetition.times >= self._repeats.threshold:
                self._repeated.add((repetition.operation.collection,), (OTHER,))
                self._repeats.tell(account.full_method, repetition)

    def expose(
        self, queries: HistogramMetricFamily, spent: CounterMetricFamily, repeated: CounterMetricFamily
    ) -> None:
        """Add this method to the families that are being scraped."""
        self._queries.expose(queries, self.labels)
        with self._lock:
            phases = list(zip(PHASES, self._seconds, strict=True))
        for phase, seconds in phases:
            spent.add_metric((*self.labels, phase), seconds)
        self._repeated.expose(repeated, self.labels)


def families(parts: Iterable[Spending]) -> Iterator[Metric]:
    """Yield the families of `parts`; without parts, only their names."""
    labels = ["grpc_service", "grpc_method"]
    queries = HistogramMetricFamily("rpc_db_queries", "Statements that an RPC sent.", labels=labels)
    spent = CounterMetricFamily(
        "rpc_db_seconds",
        "Time of handling RPCs, by what it went to; the phases add up to it.",
        labels=[*labels, "phase"],
    )
    repeated = CounterMetricFamily(
        "rpc_db_repeated_statements",
        "Statements that one RPC executed again and again, each once for an RPC: suspects of N+1.",
        labels=[*labels, "db_collection_name"],
    )
    for part in parts:
        part.expose(queries, spent, repeated)
    yield from (queries, spent, repeated)
