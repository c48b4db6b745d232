"""Errors of the database, by what was being done when they came."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, Metric
from sqlalchemy.engine import Dialect, ExceptionContext

from ..meter.guard import Guard
from ..meter.tally import OTHER, Tally
from .failure import error_type

PHASES = ("connect", "ping", "checkout", "compile", "execute", "fetch", "commit", "rollback")


class Errors:
    """Counts each error of one engine once.

    SQLAlchemy's `handle_error` hears of most errors but does not say what they are of, and does not hear of a
    pool's timeout, of a connect that fails with an OSError, or of a ROLLBACK that the pool does by itself. What
    meets an error first counts and marks it; `handle_error` counts what is not marked.

    Args:
        labels: `db_system_name` and `db_client_connection_pool_name`.
        dialect: Knows what loses a connection.
        guard: Keeps failures of the counting from a ping.
    """

    def __init__(self, labels: tuple[str, str], dialect: Dialect, guard: Guard) -> None:
        self.labels = labels
        self._dialect = dialect
        self._tally = Tally()
        self._miss = guard.wrap("ping", lambda error: self.count("ping", error, disconnect=True))

    def hear(self, context: ExceptionContext) -> None:
        """handle_error: count the error."""
        error = context.original_exception
        # An error of a column's default comes a second time, wrapped, as one of the statement it was made for.
        if not is_counted(error) and not is_counted(getattr(error, "orig", None)):
            self.count(_phase(context, error), error, disconnect=context.is_disconnect)

    def count(self, phase: str, error: BaseException, *, disconnect: bool = False) -> None:
        """Count an error where it is first met, and mark it.

        Args:
            phase: One of `PHASES`.
            error: The error.
            disconnect: A connection was lost by it.
        """
        error.tablestakes_counted = True  # type: ignore[attr-defined]
        lost = "true" if disconnect else "false"
        self._tally.add((phase, error_type(error), lost), (phase, OTHER, lost))

    def ping(self, original: Callable[[Any], bool]) -> Callable[[Any], bool]:
        """Lead Dialect.do_ping: SQLAlchemy tells nobody of a failure that is not the driver's own."""

        def do_ping(connection: Any) -> bool:
            try:
                return original(connection)
            except BaseException as error:
                if not isinstance(error, self._dialect.loaded_dbapi.Error):
                    self._miss(error)
                raise

        return do_ping

    def loses(self, error: BaseException, connection: Any) -> bool:
        """Return whether a connection is lost by an error, as SQLAlchemy decides it."""
        if not isinstance(error, Exception):
            return True
        dialect = self._dialect
        return isinstance(error, dialect.loaded_dbapi.Error) and dialect.is_disconnect(error, connection, None)

    def counts(self) -> dict[tuple[str, ...], int]:
        """Return how many errors there were, by phase, error_type and disconnect (`true` or `false`)."""
        return dict(self._tally)

    def expose(self, family: CounterMetricFamily) -> None:
        """Add the counts to the family that is being scraped."""
        self._tally.expose(family, self.labels)


def is_counted(error: BaseException | None) -> bool:
    """Return whether an error has been counted already."""
    return getattr(error, "tablestakes_counted", False)


def _phase(context: ExceptionContext, error: BaseException) -> str:
    if context.is_pre_ping:
        return "ping"
    if getattr(error, "tablestakes_sent", False):
        return "execute"
    # Rows are described by what has been executed; a listener may have failed before anything was sent.
    if getattr(getattr(context.execution_context, "cursor", None), "description", None) is not None:
        return "fetch"
    if context.statement is not None:
        return "compile"
    # BEGIN, or a look at the connection between statements: COMMIT and ROLLBACK have been counted.
    return "connect" if context.connection is None else "execute"


def families(parts: Iterable[Errors] = ()) -> Iterator[Metric]:
    """Yield the family of `parts`, which share a registry; without parts, only its name."""
    errors = CounterMetricFamily(
        "db_client_errors",
        "Errors of the database and of the way to it, by what was being done.",
        labels=["db_system_name", "db_client_connection_pool_name", "phase", "error_type", "disconnect"],
    )
    for part in parts:
        part.expose(errors)
    yield errors
