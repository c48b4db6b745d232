"""The slow-query log: a structured log line for each slow statement, and a list of the last ones."""

import logging
from collections import deque
from collections.abc import Callable
from time import perf_counter, time
from typing import Any

from ..account import CONNECT, POOL_WAIT, current_rpc
from ..lag import LoopLag
from ..query import Query
from .explain import Explainer
from .series import Series

_log = logging.getLogger("tablestakes.telemetry.slow")
_MAX_TEXT = 2_000
_MAX_RECENT = 50


class SlowQueries:
    """Counts and logs the slow statements of one engine.

    A duration contains the time for which the event loop was late. The driver cannot say what share was its own:
    the times of asyncpg's query logger contain the loop's delay too, and it is not called for prepared statements,
    which all of SQLAlchemy's are. So the delay of the loop itself is measured, and compared with the duration.

    Args:
        threshold: Seconds; a statement that takes longer is slow.
        trace_id: Returns the trace of the running task, None or "" if there is none.
        explainer: Gets the plans of slow statements; None for no plans.
        lag: Measures the event loop that the statements are awaited on, None if there is none.
    """

    def __init__(
        self,
        threshold: float,
        trace_id: Callable[[], str | None] | None = None,
        explainer: Explainer | None = None,
        lag: LoopLag | None = None,
    ) -> None:
        self.threshold = threshold
        self.trace_id = trace_id
        self.explainer = explainer
        self.lag = lag
        self._recent: deque[tuple[float, str, dict[str, Any]]] = deque(maxlen=_MAX_RECENT)

    @property
    def recent(self) -> list[dict[str, Any]]:
        """The last slow statements, the newest first.

        Each has the fields of its log line, its `time` in seconds since 1970, and its `plan`, None while it is not
        known.
        """
        plan: Callable[[str], str | None] = (lambda _: None) if self.explainer is None else self.explainer.plan
        return [
            {"time": time, **fields, "plan": plan(statement)}
            for time, statement, fields in reversed(self._recent.copy())
        ]

    def add(
        self,
        query: Query,
        series: Series,
        statement: str,
        parameters: Any = None,
        *,
        seconds: float,
        rows: int = -1,
        error_type: str = "",
    ) -> None:
        """Count a slow statement that has just ended, and log `slow query` with everything but its values.

        An exception of a log handler is raised here: call this from a guarded listener, after counting.

        Args:
            query: The statement.
            series: Its counters.
            statement: Its SQL as it was sent.
            parameters: Its parameters, if it has any. Only their number is used.
            seconds: How long it took.
            rows: How many rows it returned or changed, below 0 if the driver does not say: sqlite3 never counts the
                rows of a SELECT.
            error_type: The `error_type` of its failure, "" for success.
        """
        end = perf_counter()
        late = None if self.lag is None else self.lag.during(end - seconds, end)
        by_loop = late is not None and seconds - late <= self.threshold
        series.add_slow(by_loop=by_loop)
        rpc = current_rpc.get()
        fields: dict[str, Any] = {
            "duration_seconds": seconds,
            "threshold_seconds": self.threshold,
            "db_operation_name": query.operation.name,
            "db_collection_name": query.operation.collection,
            "db_query_text": statement[:_MAX_TEXT],
            "rpc_method": "" if rpc is None else rpc.full_method,
            "error_type": error_type,
            "rows": rows if rows >= 0 else None,
        }
        if rpc is not None:
            # The time that the RPC had already spent on waiting and connecting: the statement may not be what made
            # it slow.
            fields |= {"pool_wait_seconds": rpc.seconds[POOL_WAIT], "connect_seconds": rpc.seconds[CONNECT]}
        if late is not None:
            fields["loop_lag_seconds"] = late
        if self.trace_id is not None and (trace := self.trace_id()):
            fields["trace_id"] = trace
        self._recent.append((time(), statement, fields))
        _log.warning("slow query", extra=fields)
        # A plan explains nothing if the loop took the time.
        if self.explainer is not None and not by_loop:
            self.explainer.explain(query, statement, _placeholders(parameters))


def _placeholders(parameters: Any) -> int:
    # For the driver's executemany this is a list of parameter sets.
    first = parameters[0] if isinstance(parameters, list) and parameters else parameters
    return len(first) if first else 0
