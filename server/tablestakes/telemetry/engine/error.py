"""Counting the errors of a database by what was being done when they occurred."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, Metric
from sqlalchemy.engine import Dialect, ExceptionContext

from ..meter.guard import Guard
from ..meter.tally import OTHER, Tally
from .failure import LOST, error_type
from .identity import LABELS, Identity

PHASES = ("connect", "ping", "checkout", "compile", "execute", "fetch", "commit", "rollback")


class Errors:
    """Counts each error of one engine once.

    SQLAlchemy's `handle_error` receives most errors, but not what was being done. It does not receive a timeout of
    the pool, an OSError from a connect, or an error of a ROLLBACK that the pool sends by itself. The listener that
    sees an error first counts it and marks it as counted; `handle_error` counts those that have no mark.

    Args:
        labels: The values of `identity.LABELS`.
        dialect: Decides which errors lose a connection.
        guard: Catches failures of the counting, so that a ping does not fail because of one.
    """

    def __init__(self, labels: Identity, dialect: Dialect, guard: Guard) -> None:
        self.labels = labels
        self._dialect = dialect
        self._tally = Tally()
        self._count_ping = guard.wrap("ping", lambda error: self.count("ping", error, disconnect=True))

    def on_handle_error(self, context: ExceptionContext) -> None:
        """Count an error that no other listener has counted."""
        error = context.original_exception
        # SQLAlchemy reports an error in a column's default twice: by itself, and wrapped, as one of the INSERT.
        if not is_counted(error) and not is_counted(getattr(error, "orig", None)):
            self.count(_phase(context, error), error, disconnect=context.is_disconnect)

    def count(self, phase: str, error: BaseException, *, disconnect: bool = False) -> None:
        """Count an error and mark it as counted.

        Args:
            phase: One of `PHASES`.
            error: The error.
            disconnect: Whether a connection was lost by it.
        """
        error.tablestakes_counted = True  # type: ignore[attr-defined]
        kind = error_type(error)
        # SQLAlchemy does not recognize every lost connection at once.
        disconnected = "true" if disconnect or kind == LOST else "false"
        self._tally.add((phase, kind, disconnected), (phase, OTHER, disconnected))

    def wrap_do_ping(self, original: Callable[[Any], bool]) -> Callable[[Any], bool]:
        """Wrap Dialect.do_ping: SQLAlchemy passes only the driver's own errors of a ping to `handle_error`."""

        def do_ping(connection: Any) -> bool:
            try:
                return original(connection)
            except BaseException as error:
                if not isinstance(error, self._dialect.loaded_dbapi.Error):
                    self._count_ping(error)
                raise

        return do_ping

    def is_disconnect(self, error: BaseException, connection: Any) -> bool:
        """Return whether an error loses its connection, by the same rules as SQLAlchemy."""
        if not isinstance(error, Exception):
            return True
        dialect = self._dialect
        return isinstance(error, dialect.loaded_dbapi.Error) and dialect.is_disconnect(error, connection, None)

    def counts(self) -> dict[tuple[str, ...], int]:
        """Return the number of errors by phase, error_type and disconnect (`true` or `false`)."""
        return dict(self._tally)

    def expose(self, family: CounterMetricFamily) -> None:
        """Add the counts to the family that is being scraped, and a zero for each phase.

        The zeros have no error_type. So a sum by phase exists before the first error, and its rate is zero rather
        than unknown. A series with an error_type still begins with its first error.
        """
        for phase in PHASES:
            family.add_metric((*self.labels, phase, "", "false"), 0)
        self._tally.expose(family, self.labels)


def is_counted(error: BaseException | None) -> bool:
    """Return whether an error has been counted already."""
    return getattr(error, "tablestakes_counted", False)


def _phase(context: ExceptionContext, error: BaseException) -> str:
    if context.is_pre_ping:
        return "ping"
    if getattr(error, "tablestakes_sent", False):
        return "execute"
    # A cursor has a description once its statement was executed. Without one, a listener failed before the
    # statement was sent.
    if getattr(getattr(context.execution_context, "cursor", None), "description", None) is not None:
        return "fetch"
    if context.statement is not None:
        return "compile"
    # This is BEGIN, or a check of the connection between statements: errors of COMMIT and ROLLBACK are counted
    # already.
    return "connect" if context.connection is None else "execute"


def families(parts: Iterable[Errors] = ()) -> Iterator[Metric]:
    """Yield the metric family of `parts`, which share a registry; without parts, the family has no samples."""
    errors = CounterMetricFamily(
        "db_client_errors",
        "Errors of the database and of the way to it, by what was being done.",
        labels=[*LABELS, "phase", "error_type", "disconnect"],
    )
    for part in parts:
        part.expose(errors)
    yield errors
