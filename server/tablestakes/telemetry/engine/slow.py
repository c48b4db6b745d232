"""Statements that take long: one structured line for each, and the last of them to look at."""

import logging
from collections import deque
from collections.abc import Callable
from time import time
from typing import Any

from ..account import CONNECT, POOL_WAIT, current_rpc
from ..query import Query
from .explain import Explainer

_log = logging.getLogger("tablestakes.telemetry.slow")
_TEXT = 2_000
_KEPT = 50


class SlowQueries:
    """Tells of the slow statements of one engine.

    Args:
        threshold: Statements that take longer than this are slow, in seconds.
        trace_id: Tells the trace that the running task belongs to; None or "" if to none.
        explainer: Asked for the plans of slow statements, if there is one.
    """

    def __init__(
        self,
        threshold: float,
        trace_id: Callable[[], str | None] | None = None,
        explainer: Explainer | None = None,
    ) -> None:
        self.threshold = threshold
        self.trace_id = trace_id
        self.explainer = explainer
        self._recent: deque[tuple[float, str, dict[str, Any]]] = deque(maxlen=_KEPT)

    @property
    def recent(self) -> list[dict[str, Any]]:
        """The last of them, the newest first.

        Of each what was logged, `time`, in seconds since 1970, and its `plan`, None as long as none is known.
        """
        plan: Callable[[str], str | None] = (lambda _: None) if self.explainer is None else self.explainer.plan
        return [
            {"time": time, **fields, "plan": plan(statement)}
            for time, statement, fields in reversed(self._recent.copy())
        ]

    def report(
        self,
        query: Query,
        statement: str,
        parameters: Any = None,
        *,
        seconds: float,
        rows: int = -1,
        error_type: str = "",
    ) -> None:
        """Log `slow query`, with everything but the bound values as fields of the record.

        Whatever a log handler raises comes out of here: call it from a guarded listener, after counting.

        Args:
            query: The statement.
            statement: Its text as it was sent.
            parameters: What it was sent with, if with anything; they are only counted.
            seconds: How long it took.
            rows: How many rows it returned or changed, below 0 if the driver does not say: sqlite3 never counts
                those of a SELECT.
            error_type: How it ended, "" for success.
        """
        rpc = current_rpc.get()
        fields: dict[str, Any] = {
            "duration_seconds": seconds,
            "threshold_seconds": self.threshold,
            "db_operation_name": query.operation.name,
            "db_collection_name": query.operation.collection,
            "db_query_text": statement[:_TEXT],
            "rpc_method": "" if rpc is None else rpc.full_method,
            "error_type": error_type,
            "rows": rows if rows >= 0 else None,
        }
        if rpc is not None:
            # What the RPC has waited for before: a slow statement of an RPC that had to connect is half the story.
            fields |= {"pool_wait_seconds": rpc.seconds[POOL_WAIT], "connect_seconds": rpc.seconds[CONNECT]}
        if self.trace_id is not None and (trace := self.trace_id()):
            fields["trace_id"] = trace
        self._recent.append((time(), statement, fields))
        _log.warning("slow query", extra=fields)
        if self.explainer is not None:
            self.explainer.explain(query, statement, _placeholders(parameters))


def _placeholders(parameters: Any) -> int:
    # Of the driver's executemany it is a list of them.
    first = parameters[0] if isinstance(parameters, list) and parameters else parameters
    return len(first) if first else 0
