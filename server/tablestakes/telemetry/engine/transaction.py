"""How long transactions last, and what ending them costs."""

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

Ended = Callable[[Any], None]
OUTCOMES = ("ok", "error", "cancelled", "timeout")
_PHASES = {"commit": COMMIT, "rollback": ROLLBACK}


class Transactions:
    """Times the transactions of one engine, from SQLAlchemy's begin until COMMIT or ROLLBACK has returned.

    A connection in autocommit has none: what SQLAlchemy begins and ends there sends nothing. One that ends with
    its connection, or whose COMMIT fails, counts as rolled back; only the server knows better, and only if the
    connection was lost while it said COMMIT.

    Args:
        labels: `db_system_name` and `db_client_connection_pool_name`.
        dialect: Knows whether a connection is in autocommit, if it is one that can tell; most are.
        errors: Where errors of COMMIT and ROLLBACK are counted.
        guard: Keeps failures of the counting from the transaction.
        spans: Told of each COMMIT and ROLLBACK, if there are any to be made.
    """

    def __init__(
        self,
        labels: tuple[str, str],
        dialect: Dialect,
        errors: Errors,
        guard: Guard,
        spans: DatabaseSpans | None = None,
    ) -> None:
        self.labels = labels
        self._spans = spans
        self.seconds = {name: Histogram(LONG_SECONDS) for name in ("commit", "rollback")}
        self.ends = {name: {word: Histogram(SECONDS) for word in OUTCOMES} for name in ("commit", "rollback")}
        self._errors = errors
        self._guard = guard
        self._dialect = dialect
        # By id of the driver's connection: every use of a connection passes here, and its end takes it out.
        self._begun: dict[int, float] = {}
        self._enter = guard.wrap("transaction", self._entered)
        self._leave = guard.wrap("transaction", self._left)

    def begin(self, original: Ended) -> Ended:
        """Lead Dialect.do_begin: remember when, unless there is no transaction in autocommit."""
        begun, autocommit, guard = self._begun, self._autocommit, self._guard

        def do_begin(connection: Any) -> None:
            try:
                driver = connection.dbapi_connection
                if autocommit(driver):
                    begun.pop(id(driver), None)
                else:
                    begun[id(driver)] = perf_counter()
            except Exception:  # noqa: BLE001 - as Guard.wrap, without a call more for each checkout
                guard.failed("do_begin")
            original(connection)

        return do_begin

    def _autocommit(self, driver: Any) -> bool:
        try:
            return self._dialect.detect_autocommit_setting(driver)
        except NotImplementedError:
            return False

    def lose(self, driver: DBAPIConnection, *_: object) -> None:
        """invalidate, close, close_detached: a transaction that is still open ends with its connection."""
        begun = self._begun.pop(id(driver), None)
        if begun is not None:
            self.seconds["rollback"].observe(perf_counter() - begun)

    def commit(self, original: Ended) -> Ended:
        """Lead Dialect.do_commit, timed."""
        return self._timed("commit", original)

    def rollback(self, original: Ended) -> Ended:
        """Lead Dialect.do_rollback, timed."""
        return self._timed("rollback", original)

    def _timed(self, name: str, original: Ended) -> Ended:
        begun = self._begun

        def end(connection: Any) -> None:
            driver = connection.dbapi_connection
            start = None
            # Without a transaction nothing is sent: autocommit, or the pool making sure that there is none.
            if id(driver) in begun:
                start = perf_counter()
                self._enter(name, start)
            try:
                original(connection)
            except BaseException as error:
                self._leave(name, start, driver, error)
                raise
            if start is not None:
                self._leave(name, start, driver, None)

        return end

    def _entered(self, name: str, start: float) -> None:
        account = current_rpc.get()
        if account is not None:
            account.begin(_PHASES[name], start)

    def _left(self, name: str, start: float | None, driver: Any, error: BaseException | None) -> None:
        if start is not None:
            now = perf_counter()
            account = current_rpc.get()
            if account is not None:
                account.end(_PHASES[name], now)
            self.ends[name][outcome(error)].observe(now - start)
            if self._spans is not None:
                self._spans.phase(_PHASES[name], now - start, error)
            begun = self._begun.pop(id(driver), None)
            if begun is not None:
                self.seconds[name if error is None else "rollback"].observe(now - begun)
        if error is not None:
            self._errors.count(name, error, disconnect=self._errors.loses(error, driver))


def families(parts: Iterable[Transactions] = ()) -> Iterator[Metric]:
    """Yield the families of `parts`, which share a registry; without parts, only their names."""
    labels = ["db_system_name", "db_client_connection_pool_name", "outcome"]
    lasted = HistogramMetricFamily(
        "db_client_transaction_seconds",
        "Time from begin until a transaction was committed or rolled back.",
        labels=labels,
    )
    ends = {
        name: HistogramMetricFamily(f"db_client_{name}_seconds", f"Time that {name.upper()} took.", labels=labels)
        for name in _PHASES
    }
    for part in parts:
        expose_by(lasted, part.labels, part.seconds)
        for name, family in ends.items():
            expose_by(family, part.labels, part.ends[name])
    yield lasted
    yield from ends.values()
