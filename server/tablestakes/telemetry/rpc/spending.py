"""What the RPCs of a method spend on the database: statements, time by phase, and statements repeated."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from ..account import PHASES, RpcAccount, Runs
from ..meter.histogram import Histogram
from ..meter.tally import OTHER, Tally
from ..query import Query

_log = logging.getLogger("tablestakes.telemetry.repeated")
QUERIES = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0)
_TEXT = 2_000
# Lines of the log, for as long as the process lives.
_LINES = 1_000
# Statements of one method that are looked at one by one; what comes after them is counted elsewhere.
_STATEMENTS = 200


class Repeats:
    """Decides which repetitions are suspect, and tells of each once.

    Args:
        threshold: How often one RPC executes a statement until it is suspect.
    """

    __slots__ = ("_told", "threshold")

    def __init__(self, threshold: int) -> None:
        self.threshold = threshold
        self._told: set[tuple[str, str]] = set()

    def tell(self, full_method: str, query: Query, times: int) -> None:
        """Log `repeated statement`, the first time that this method repeats this statement."""
        key = (full_method, query.text)
        if key in self._told or len(self._told) >= _LINES:
            return
        self._told.add(key)
        # A log handler that raises must not fail the RPC.
        with suppress(Exception):
            _log.warning(
                "repeated statement",
                extra={
                    "rpc_method": full_method,
                    "db_operation_name": query.operation.name,
                    "db_collection_name": query.operation.collection,
                    "db_query_text": query.text[:_TEXT],
                    "times": times,
                    "threshold": self.threshold,
                },
            )


class Spent:
    """What all RPCs of a method have spent on one statement.

    Attributes:
        query: The statement.
        times: How often it was executed.
        seconds: The time it took, all together.
        longest: The time that the longest took, in seconds.
        suspects: RPCs that repeated it so often that they are suspect.
        repeated: How often one RPC repeated it, at the most.
    """

    __slots__ = ("longest", "query", "repeated", "seconds", "suspects", "times")

    def __init__(self, query: Query) -> None:
        self.query = query
        self.times = 0
        self.seconds = 0.0
        self.longest = 0.0
        self.suspects = 0
        self.repeated = 0


class Spending:
    """What the RPCs of one method have spent. Safe to use from any thread.

    Args:
        service: `grpc_service`.
        method: `grpc_method`.
        repeats: Decides which repetitions are suspect.
        lock: That of all that is counted when an RPC ends.
    """

    __slots__ = ("_lock", "_queries", "_repeated", "_repeats", "_seconds", "_statements", "labels")

    def __init__(self, service: str, method: str, repeats: Repeats, lock: AbstractContextManager[object]) -> None:
        self.labels = (service, method)
        self._repeats = repeats
        self._queries = Histogram(QUERIES, lock)
        self._repeated = Tally(50)
        self._seconds = [0.0] * len(PHASES)
        self._statements: dict[Query, Spent] = {}
        self._lock = lock

    def add(self, account: RpcAccount) -> None:
        """Count what an RPC has spent, for a caller who holds the lock; its account is closed."""
        self._queries.add(account.statements)
        spent, total = self._seconds, 0.0
        for phase, seconds in enumerate(account.seconds):
            spent[phase] += seconds
            total += seconds
        spent[-1] += max(0.0, account.total - total)
        for query, runs in account.runs.items():
            self._charge(query, runs)

    def suspect(self, account: RpcAccount) -> None:
        """Count and tell of the statements that an RPC has repeated too often."""
        threshold = self._repeats.threshold
        if account.statements < threshold:
            return
        for query, runs in account.runs.items():
            if runs.repeats >= threshold:
                self._repeated.add((query.operation.collection,), (OTHER,))
                self._repeats.tell(account.full_method, query, runs.repeats)

    def _charge(self, query: Query, runs: Runs) -> None:
        spent = self._statements.get(query)
        if spent is None:
            if len(self._statements) >= _STATEMENTS:
                return
            spent = self._statements[query] = Spent(query)
        spent.times += runs.times
        spent.seconds += runs.seconds
        spent.longest = max(spent.longest, runs.longest)
        spent.repeated = max(spent.repeated, runs.repeats)
        spent.suspects += runs.repeats >= self._repeats.threshold

    def statements(self) -> list[Spent]:
        """Return what was spent on each statement, of the first few hundred that RPCs of this method executed."""
        with self._lock:
            return list(self._statements.values())

    def phases(self) -> dict[str, float]:
        """Return the seconds that went to each of `PHASES`."""
        with self._lock:
            return dict(zip(PHASES, self._seconds, strict=True))

    def sent(self) -> int:
        """Return how many statements were sent."""
        return int(self._queries.snapshot()[1])

    def expose(
        self, queries: HistogramMetricFamily, spent: CounterMetricFamily, repeated: CounterMetricFamily
    ) -> None:
        """Add this method to the families that are being scraped."""
        self._queries.expose(queries, self.labels)
        for phase, seconds in self.phases().items():
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
