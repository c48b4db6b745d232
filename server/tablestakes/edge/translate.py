"""The one place where exceptions become statuses."""

import traceback
import uuid
from collections.abc import Iterable

import structlog
from grpc import StatusCode

from tablestakes.crud import Rpc
from tablestakes.database import Fault, FaultKind, diagnose
from tablestakes.errors import FieldViolation, StatusError, invalid_fields

# Seconds after which the same call may find a connection, or a database.
RETRY_DELAY = 1.0

log = structlog.get_logger()

# Faults that are answered the same whatever the request was: code, reason, message, and whether to say when to
# try again.
ANSWERS: dict[FaultKind, tuple[StatusCode, str, str, bool]] = {
    FaultKind.VALUE: (StatusCode.INVALID_ARGUMENT, "VALUE_OUT_OF_RANGE", "A value is out of range.", False),
    FaultKind.REFERENCE: (
        StatusCode.FAILED_PRECONDITION,
        "RESOURCE_IN_USE",
        "Another resource refers to this one, or this one to a resource that does not exist.",
        False,
    ),
    FaultKind.CONFLICT: (
        StatusCode.ABORTED,
        "CONCURRENT_CHANGE",
        "Another call changed the same resources at the same time; this one changed nothing.",
        True,
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


def translate(error: Exception, rpc: Rpc) -> StatusError:
    """Return the status of any exception that an RPC raised.

    What nobody expected is logged under an id, and the caller is told the id and nothing else.
    """
    if isinstance(error, StatusError):
        return error
    fault = diagnose(error)
    if fault is not None and (known := _of_fault(fault, rpc)):
        if known.code in (StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED):
            log.warning("database fault", rpc=rpc.path, reason=known.reason, error=type(error).__name__)
        return known
    error_id = uuid.uuid4().hex
    if fault is None:
        log.error("internal error", rpc=rpc.path, error_id=error_id, exc_info=error)
    else:
        # Where it was raised, and not what it says: a database quotes the rows and values that it refuses.
        log.error(
            "internal error",
            rpc=rpc.path,
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


def _of_fault(fault: Fault, rpc: Rpc) -> StatusError | None:
    if fault.kind in ANSWERS:
        code, reason, message, again = ANSWERS[fault.kind]
        return StatusError(code, reason, message, retry_delay=RETRY_DELAY if again else None)
    columns = fault.columns or rpc.constraints.get(fault.constraint or "", ())
    paths = [rpc.columns[column] for column in columns if column in rpc.columns]
    if not paths:
        return None
    match fault.kind:
        case FaultKind.DUPLICATE:
            return _already_exists(paths)
        case FaultKind.NOT_NULL:
            return invalid_fields(*_violations(paths, "must be set.", "REQUIRED_FIELD"))
        case FaultKind.CHECK:
            return invalid_fields(*_violations(paths, "has a value that is not allowed.", "VALUE_NOT_ALLOWED"))
    return None


def _already_exists(paths: list[str]) -> StatusError:
    together = " and ".join(paths)
    return StatusError(
        StatusCode.ALREADY_EXISTS,
        "ALREADY_EXISTS",
        f"Another resource has the same {together}.",
        metadata={"field": together},
        violations=_violations(paths, "is taken by another resource.", "ALREADY_EXISTS"),
    )


def _violations(paths: Iterable[str], description: str, reason: str) -> tuple[FieldViolation, ...]:
    return tuple(FieldViolation(path, description, reason) for path in paths)
