"""From any exception to the status that its caller gets.

Violated constraints have been explained by then, where the request is known (`crud.refused`).
"""

import traceback
import uuid

import structlog
from grpc import StatusCode

from tablestakes.database import FaultKind, diagnose
from tablestakes.errors import RETRY_DELAY, StatusError, changed

log = structlog.get_logger()

# The answers to faults, whatever the request was: code, reason, message, and whether to say when to try again.
ANSWERS: dict[FaultKind, tuple[StatusCode, str, str, bool]] = {
    FaultKind.VALUE: (StatusCode.INVALID_ARGUMENT, "VALUE_OUT_OF_RANGE", "A value is out of range.", False),
    FaultKind.REFERENCE: (
        StatusCode.FAILED_PRECONDITION,
        "RESOURCE_IN_USE",
        "Another resource refers to this one, or this one to a resource that does not exist.",
        False,
    ),
    FaultKind.UNDETERMINED: (
        StatusCode.UNAVAILABLE,
        "OUTCOME_UNKNOWN",
        "The database did not say whether this call took effect.",
        False,
    ),
    FaultKind.TIMEOUT: (
        StatusCode.DEADLINE_EXCEEDED,
        "DATABASE_TIMEOUT",
        "The database did not answer in time.",
        False,
    ),
    FaultKind.BUSY: (
        StatusCode.UNAVAILABLE,
        "DATABASE_BUSY",
        "The service is busy; this call was not begun.",
        True,
    ),
    FaultKind.FULL: (
        StatusCode.RESOURCE_EXHAUSTED,
        "STORAGE_EXHAUSTED",
        "The service has no room left.",
        False,
    ),
    FaultKind.UNAVAILABLE: (
        StatusCode.UNAVAILABLE,
        "DATABASE_UNAVAILABLE",
        "The service cannot reach its database.",
        True,
    ),
}


def translate(error: Exception, path: str) -> StatusError:
    """Return the status of an exception that an RPC raised.

    An unexpected exception is logged with an error id; the caller gets only that id.

    Args:
        error: The exception.
        path: The RPC's full name, for the log.
    """
    if isinstance(error, StatusError):
        return error
    fault = diagnose(error)
    if fault is not None and fault.kind is FaultKind.CONFLICT:
        return changed()
    if fault is not None and fault.kind in ANSWERS:
        code, reason, message, again = ANSWERS[fault.kind]
        if code in (StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED):
            log.warning("database fault", rpc=path, reason=reason, error=type(error).__name__)
        return StatusError(
            code, reason, message, metadata=_metadata(fault.kind), retry_delay=RETRY_DELAY if again else None
        )
    error_id = uuid.uuid4().hex
    if fault is None:
        log.error("internal error", rpc=path, error_id=error_id, exc_info=error)
    else:
        # The place where it was raised, without its text: a database quotes the rows and values that it refuses.
        log.error(
            "internal error",
            rpc=path,
            error_id=error_id,
            error=type(error).__name__,
            sqlstate=fault.code,
            constraint=fault.constraint,
            frames="".join(traceback.format_tb(error.__traceback__)),
        )
    return StatusError(
        StatusCode.INTERNAL,
        "INTERNAL",
        f"Something went wrong that is not the caller's fault; it is logged as {error_id}.",
        metadata={"errorId": error_id},
    )


def _metadata(kind: FaultKind) -> dict[str, str]:
    return {"outcome": "unknown"} if kind is FaultKind.UNDETERMINED else {}
