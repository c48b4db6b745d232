"""One structured line for each slow statement."""

import logging

from sqlalchemy.engine.interfaces import DBAPICursor

from server.telemetry.operation import Operation
from server.telemetry.rpc import current_rpc

_log = logging.getLogger("tablestakes.telemetry.slow")
_TEXT = 2_000


def report(
    operation: Operation,
    statement: str,
    cursor: DBAPICursor | None,
    *,
    seconds: float,
    threshold: float,
    error_type: str,
) -> None:
    """Log `slow query`, with everything but the bound values as fields of the record.

    Whatever a log handler raises comes out of here: call it from a guarded listener, after counting.
    """
    rpc = current_rpc.get()
    rows = getattr(cursor, "rowcount", -1)
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
        },
    )
