"""Counting what the RPCs of a method spend on the database: statements, time by phase, repeated statements."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from ..account import PHASES, RpcAccount, StatementRuns
from ..meter.histogram import Histogram
from ..meter.tally import OTHER, Tally
from ..query import Query

_log = logging.getLogger("tablestakes.telemetry.repeated")
QUERIES = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0)
_MAX_TEXT = 2_000
# Lines of this log in the life of the process.
_MAX_LINES = 1_000
# Statements of one method whose usage is kept one by one; further ones are counted only in the metrics.
_MAX_STATEMENTS = 200


class RepeatLog:
    """Logs each statement that is repeated too often by the RPCs of a method, once.

    Args:
        threshold: A statement that one RPC executes this often is suspect.
    """

    __slots__ = ("_logged", "threshold")

    def __init__(self, threshold: int) -> None:
        self.threshold = threshold
        self._logged: set[tuple[str, str]] = set()

    def log(self, full_method: str, query: Query, times: int) -> None:
        """Log `repeated statement` the first time that this method repeats this statement."""
        key = (full_method, query.text)
        if key in self._logged or len(self._logged) >= _MAX_LINES:
            return
        self._logged.add(key)
        # A log handler that raises must not fail the RPC.
        with suppress(Exception):
            _log.warning(
                "repeated statement",
                extra={
                    "rpc_method": full_method,
                    "db_operation_name": query.operation.name,
                    "db_collection_name": query.operation.collection,
                    "db_query_text": query.text[:_MAX_TEXT],
                    "times": times,
                    "threshold": self.threshold,
                },
            )


class StatementUsage:
    """The executions of one statement by all RPCs of a method.

    Attributes:
        query: The statement.
        times: The number of executions.
        seconds: Their total time.
        longest: The time of the longest, in seconds.
        suspects: The number of RPCs that repeated it so often that they are suspect.
        repeated: The largest number of repetitions by one RPC.
    """

    __slots__ = ("longest", "query", "repeated", "seconds", "suspects", "times")

    def __init__(self, query: Query) -> None:
        self.query = query
        self.times = 0
        self.seconds = 0.0
        self.longest = 0.0
        self.suspects = 0
        self.repeated = 0


class MethodDatabaseUsage:
    """The use of the database by the RPCs of one method: counts and seconds. It may be used from any thread.

    Args:
        service: `grpc_service`.
        method: `grpc_method`.
        repeats: Has the threshold from which repetitions are suspect, and logs them.
        lock: The lock of everything that is counted when an RPC ends.
    """

    __slots__ = (
        "_checkouts",
        "_held",
        "_lock",
        "_queries",
        "_repeated",
        "_repeats",
        "_seconds",
        "_statements",
        "labels",
    )

    def __init__(self, service: str, method: str, repeats: RepeatLog, lock: AbstractContextManager[object]) -> None:
        self.labels = (service, method)
        self._repeats = repeats
        self._queries = Histogram(QUERIES, lock)
        self._repeated = Tally(50)
        self._seconds = [0.0] * len(PHASES)
        self._checkouts = 0
        self._held = 0.0
        self._statements: dict[Query, StatementUsage] = {}
        self._lock = lock

    def add(self, account: RpcAccount) -> None:
        """Count the usage of an RPC whose account is closed; the caller holds the lock."""
        self._queries.add(account.statements)
        by_phase, total = self._seconds, 0.0
        for phase, seconds in enumerate(account.seconds):
            by_phase[phase] += seconds
            total += seconds
        by_phase[-1] += max(0.0, account.total - total)
        self._checkouts += account.checkouts
        self._held += account.held
        for query, runs in account.runs.items():
            self._add_runs(query, runs)

    def add_late_hold(self, seconds: float) -> None:
        """Count a connection that was returned after its RPC had ended."""
        with self._lock:
            self._checkouts += 1
            self._held += seconds

    def report_repeats(self, account: RpcAccount) -> None:
        """Count and log the statements that an RPC has repeated too often."""
        threshold = self._repeats.threshold
        if account.statements < threshold:
            return
        for query, runs in account.runs.items():
            if runs.repeats >= threshold:
                self._repeated.add((query.operation.collection,), (OTHER,))
                self._repeats.log(account.full_method, query, runs.repeats)

    def _add_runs(self, query: Query, runs: StatementRuns) -> None:
        usage = self._statements.get(query)
        if usage is None:
            if len(self._statements) >= _MAX_STATEMENTS:
                return
            usage = self._statements[query] = StatementUsage(query)
        usage.times += runs.times
        usage.seconds += runs.seconds
        usage.longest = max(usage.longest, runs.longest)
        usage.repeated = max(usage.repeated, runs.repeats)
        usage.suspects += runs.repeats >= self._repeats.threshold

    def statements(self) -> list[StatementUsage]:
        """Return the usage of each statement, for the first 200 statements of this method."""
        with self._lock:
            return list(self._statements.values())

    def seconds_by_phase(self) -> dict[str, float]:
        """Return the seconds that were spent in each of `PHASES`."""
        with self._lock:
            return dict(zip(PHASES, self._seconds, strict=True))

    def statement_count(self) -> int:
        """Return the number of statements that were sent."""
        return int(self._queries.snapshot()[1])

    def connections(self) -> tuple[int, float]:
        """Return the number of connections that were returned, and for how many seconds they were held together."""
        with self._lock:
            return self._checkouts, self._held

    def expose(
        self,
        queries: HistogramMetricFamily,
        seconds_family: CounterMetricFamily,
        repeated: CounterMetricFamily,
        checkouts: CounterMetricFamily,
        held: CounterMetricFamily,
    ) -> None:
        """Add this method to the families that are being scraped."""
        self._queries.expose(queries, self.labels)
        for phase, seconds in self.seconds_by_phase().items():
            seconds_family.add_metric((*self.labels, phase), seconds)
        for family, count in zip((checkouts, held), self.connections(), strict=True):
            family.add_metric(self.labels, count)
        # The zero has no collection: a sum by method exists before the first repetition.
        repeated.add_metric((*self.labels, ""), 0)
        self._repeated.expose(repeated, self.labels)


def families(parts: Iterable[MethodDatabaseUsage]) -> Iterator[Metric]:
    """Yield the metric families of `parts`; without parts, they have no samples."""
    labels = ["grpc_service", "grpc_method"]
    queries = HistogramMetricFamily("rpc_db_queries", "Statements that an RPC sent.", labels=labels)
    seconds = CounterMetricFamily(
        "rpc_db_seconds",
        "Time of handling RPCs, by what it went to; the phases add up to it.",
        labels=[*labels, "phase"],
    )
    repeated = CounterMetricFamily(
        "rpc_db_repeated_statements",
        "Statements that one RPC executed again and again, each once for an RPC: suspects of N+1.",
        labels=[*labels, "db_collection_name"],
    )
    checkouts = CounterMetricFamily(
        "rpc_db_connection_checkouts", "Connections that the RPCs of a method took and returned.", labels=labels
    )
    held = CounterMetricFamily(
        "rpc_db_connection_held_seconds",
        "Time for which they held these connections; its rate is how many they hold on average.",
        labels=labels,
    )
    for part in parts:
        part.expose(queries, seconds, repeated, checkouts, held)
    yield from (queries, seconds, repeated, checkouts, held)
