"""One structured line for each slow statement."""

import logging

from server.telemetry.account import CONNECT, POOL_WAIT, current_rpc
from server.telemetry.operation import Operation

_log = logging.getLogger("tablestakes.telemetry.slow")
_TEXT = 2_000


def report(
    operation: Operation,
    statement: str,
    *,
    rows: int,
    seconds: float,
    threshold: float,
    error_type: str,
    trace_id: str | None = None,
) -> None:
    """Log `slow query`, with everything but the bound values as fields of the record.

    Whatever a log handler raises comes out of here: call it from a guarded listener, after counting.
    """
    rpc = current_rpc.get()
    fields: dict[str, object] = {}
    if rpc is not None:
        # What the RPC has waited for before: a slow statement of an RPC that had to connect is half the story.
        fields = {"pool_wait_seconds": rpc.seconds[POOL_WAIT], "connect_seconds": rpc.seconds[CONNECT]}
    if trace_id:
        fields["trace_id"] = trace_id
    _log.warning(
        "slow query",
        extra={
            "duration_seconds": seconds,
            "threshold_seconds": threshold,
            "db_operation_name": operation.name,
            "db_collection_name": operation.collection,
            "db_query_text": statement[:_TEXT],
            "rpc_method": rpc.full_method if rpc is not None else "",
            "error_type": error_type,
            # None where the driver does not say: sqlite3 never counts the rows of a SELECT.
            "rows": rows if rows >= 0 else None,
            **fields,
        },
    )
