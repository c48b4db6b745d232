"""Timing transactions, and their COMMIT and ROLLBACK."""

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import Any

from prometheus_client.core import HistogramMetricFamily, Metric
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection

from ..account import COMMIT, ROLLBACK, current_rpc
from ..meter.guard import Guard
from ..meter.histogram import LONG_SECONDS, SECONDS, Histogram, expose_by
from ..tracing import DatabaseSpans
from .error import Errors
from .failure import outcome
from .identity import LABELS, Identity

DoMethod = Callable[[Any], None]
OUTCOMES = ("ok", "error", "cancelled", "timeout")
_PHASES = {"commit": COMMIT, "rollback": ROLLBACK}


class Transactions:
    """Times the transactions of one engine, from SQLAlchemy's begin until COMMIT or ROLLBACK has returned.

    A connection in autocommit has no transactions: SQLAlchemy's begin and commit send nothing there. A transaction
    whose connection is lost, or whose COMMIT fails, counts as rolled back. If the connection is lost during COMMIT,
    only the server knows the outcome.

    Args:
        labels: The values of `identity.LABELS`.
        dialect: Detects whether a connection is in autocommit; most dialects can.
        errors: Counts the errors of COMMIT and ROLLBACK.
        guard: Catches failures of the counting, so that no transaction fails because of one.
        spans: Makes a span of each COMMIT and ROLLBACK, None without traces.
    """

    def __init__(
        self,
        labels: Identity,
        dialect: Dialect,
        errors: Errors,
        guard: Guard,
        spans: DatabaseSpans | None = None,
    ) -> None:
        self.labels = labels
        self._spans = spans
        self.seconds = {name: Histogram(LONG_SECONDS) for name in ("commit", "rollback")}
        self.end_seconds = {
            name: {word: Histogram(SECONDS) for word in OUTCOMES} for name in ("commit", "rollback")
        }
        self._errors = errors
        self._guard = guard
        self._dialect = dialect
        # When each open transaction began, by id of the driver's connection; its end removes the entry.
        self._begun: dict[int, float] = {}
        self._record_start = guard.wrap("transaction", self._started)
        self._record_end = guard.wrap("transaction", self._ended)

    def wrap_do_begin(self, original: DoMethod) -> DoMethod:
        """Wrap Dialect.do_begin to note when a transaction begins; there is none in autocommit."""
        begun, autocommit, guard = self._begun, self._autocommit, self._guard

        def do_begin(connection: Any) -> None:
            try:
                driver = connection.dbapi_connection
                if autocommit(driver):
                    begun.pop(id(driver), None)
                else:
                    begun[id(driver)] = perf_counter()
            except Exception:  # noqa: BLE001 - as Guard.wrap, without one more call for each checkout
                guard.failed("do_begin")
            original(connection)

        return do_begin

    def _autocommit(self, driver: Any) -> bool:
        try:
            return self._dialect.detect_autocommit_setting(driver)
        except NotImplementedError:
            return False

    def on_close(self, driver: DBAPIConnection, *_: object) -> None:
        """End a transaction that is still open when its connection is closed or invalidated."""
        begun = self._begun.pop(id(driver), None)
        if begun is not None:
            self.seconds["rollback"].observe(perf_counter() - begun)

    on_invalidate = on_close_detached = on_close

    def wrap_do_commit(self, original: DoMethod) -> DoMethod:
        """Wrap Dialect.do_commit to time it."""
        return self._timed("commit", original)

    def wrap_do_rollback(self, original: DoMethod) -> DoMethod:
        """Wrap Dialect.do_rollback to time it."""
        return self._timed("rollback", original)

    def _timed(self, name: str, original: DoMethod) -> DoMethod:
        begun = self._begun

        def end(connection: Any) -> None:
            driver = connection.dbapi_connection
            start = None
            # Without a transaction nothing is sent: the connection is in autocommit, or the pool resets an idle
            # one.
            if id(driver) in begun:
                start = perf_counter()
                self._record_start(name, start)
            try:
                original(connection)
            except BaseException as error:
                self._record_end(name, start, driver, error)
                raise
            if start is not None:
                self._record_end(name, start, driver, None)

        return end

    def _started(self, name: str, start: float) -> None:
        account = current_rpc.get()
        if account is not None:
            account.begin(_PHASES[name], start)

    def _ended(self, name: str, start: float | None, driver: Any, error: BaseException | None) -> None:
        if start is not None:
            now = perf_counter()
            account = current_rpc.get()
            if account is not None:
                account.end(_PHASES[name], now)
            self.end_seconds[name][outcome(error)].observe(now - start)
            if self._spans is not None:
                self._spans.phase(_PHASES[name], now - start, error)
            begun = self._begun.pop(id(driver), None)
            if begun is not None:
                self.seconds[name if error is None else "rollback"].observe(now - begun)
        if error is not None:
            self._errors.count(name, error, disconnect=self._errors.is_disconnect(error, driver))


def families(parts: Iterable[Transactions] = ()) -> Iterator[Metric]:
    """Yield the metric families of `parts`, which share a registry; without parts, they have no samples."""
    labels = [*LABELS, "outcome"]
    transactions = HistogramMetricFamily(
        "db_client_transaction_seconds",
        "Time from begin until a transaction was committed or rolled back.",
        labels=labels,
    )
    ends = {
        name: HistogramMetricFamily(f"db_client_{name}_seconds", f"Time that {name.upper()} took.", labels=labels)
        for name in _PHASES
    }
    for part in parts:
        expose_by(transactions, part.labels, part.seconds)
        for name, family in ends.items():
            expose_by(family, part.labels, part.end_seconds[name])
    yield transactions
    yield from ends.values()
