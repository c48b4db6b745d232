"""From any exception to the status that its caller gets.

Violated constraints have been explained by then, where the request is known (`crud.refused`).
"""

import traceback
import uuid
from dataclasses import dataclass, replace

import structlog
from grpc import StatusCode

from tablestakes.crud.method import Method
from tablestakes.database import Fault, FaultKind, diagnose
from tablestakes.database.unit import Unit
from tablestakes.errors import RETRY_DELAY, StatusError

log = structlog.get_logger()


@dataclass(frozen=True)
class Answer:
    """The answer to a kind of fault, whatever the request was.

    Attributes:
        code: The status code.
        reason: The reason for programs.
        message: The sentence for people.
        again: Whether the same call may succeed a moment later.
        undone: Whether the database says by this fault that the statement, and the transaction around it, did
            nothing.
    """

    code: StatusCode
    reason: str
    message: str
    again: bool = False
    undone: bool = True


ANSWERS = {
    FaultKind.VALUE: Answer(StatusCode.INVALID_ARGUMENT, "VALUE_OUT_OF_RANGE", "A value is out of range."),
    FaultKind.REFERENCE: Answer(
        StatusCode.FAILED_PRECONDITION,
        "RESOURCE_IN_USE",
        "Another resource refers to this one, or this one to a resource that does not exist.",
    ),
    FaultKind.CONFLICT: Answer(
        StatusCode.ABORTED,
        "CONCURRENT_CHANGE",
        "Another call changed the same resources at the same time; this one changed nothing.",
        again=True,
    ),
    FaultKind.TIMEOUT: Answer(
        StatusCode.DEADLINE_EXCEEDED, "DATABASE_TIMEOUT", "The database did not answer in time.", undone=False
    ),
    FaultKind.BUSY: Answer(
        StatusCode.UNAVAILABLE, "DATABASE_BUSY", "The service is busy; this call was not begun.", again=True
    ),
    FaultKind.FULL: Answer(StatusCode.RESOURCE_EXHAUSTED, "STORAGE_EXHAUSTED", "The service has no room left."),
    FaultKind.UNAVAILABLE: Answer(
        StatusCode.UNAVAILABLE,
        "DATABASE_UNAVAILABLE",
        "The service cannot reach its database.",
        again=True,
        undone=False,
    ),
    FaultKind.UNDETERMINED: Answer(
        StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", "The service lost its database.", again=True, undone=False
    ),
}

OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
"""The reason where a write may or may not have taken effect, and the caller must find out before repeating it."""


def translate(error: Exception, method: Method, unit: Unit) -> StatusError:
    """Return the status of an exception that an RPC raised.

    An unexpected exception is logged with an error id; the caller gets only that id. For a write, a status that
    does not come from the request itself says in its metadata whether the write took effect: `outcome` is
    `not_applied` or `unknown`. Only a write that is known not to be applied is to be repeated (RetryInfo), or one
    that has a request id.

    Args:
        error: The exception.
        method: The method.
        unit: Tells how far its work has come.
    """
    status = _translate(error, method, unit)
    return _of_repeatable(status, unit) if unit.repeatable else status


def _translate(error: Exception, method: Method, unit: Unit) -> StatusError:
    if isinstance(error, StatusError):
        from_request = error.code not in (StatusCode.DEADLINE_EXCEEDED, StatusCode.UNAVAILABLE)
        return error if from_request or method.reads else _of_write(error, applied=unit.begun)
    fault = diagnose(error)
    if fault is not None and fault.kind in ANSWERS:
        return _of_fault(error, fault, method, unit)
    error_id = uuid.uuid4().hex
    if fault is None:
        log.error("internal error", rpc=method.path, error_id=error_id, exc_info=error)
    else:
        # The place where it was raised, without its text: a database quotes the rows and values that it refuses.
        log.error(
            "internal error",
            rpc=method.path,
            error_id=error_id,
            error=type(error).__name__,
            sqlstate=fault.code,
            constraint=fault.constraint,
            frames="".join(traceback.format_tb(error.__traceback__)),
        )
    status = StatusError(
        StatusCode.INTERNAL,
        "INTERNAL",
        f"Something went wrong that is not the caller's fault; it is logged as {error_id}.",
        metadata={"errorId": error_id},
    )
    return status if method.reads else _with_outcome(status, applied=unit.may_apply and fault is None)


def _of_fault(error: Exception, fault: Fault, method: Method, unit: Unit) -> StatusError:
    answer = ANSWERS[fault.kind]
    if answer.code in (StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED):
        log.warning("database fault", rpc=method.path, reason=answer.reason, error=type(error).__name__)
    delay = RETRY_DELAY if answer.again else None
    status = StatusError(answer.code, answer.reason, answer.message, retry_delay=delay)
    if method.reads:
        return status
    # The server's own timeout undoes the statement; the driver's does not say.
    undone = answer.undone or (fault.kind is FaultKind.TIMEOUT and bool(fault.code))
    return _of_write(status, applied=unit.may_apply and not undone)


def _of_write(status: StatusError, *, applied: bool) -> StatusError:
    """Return the status of a write, which may have been applied or is known not to be."""
    if not applied:
        return _with_outcome(status, applied=False)
    late = status.code is StatusCode.DEADLINE_EXCEEDED
    return _with_outcome(
        replace(
            status,
            reason=status.reason if late else OUTCOME_UNKNOWN,
            message=f"{status.message.rstrip('.')}, and whether this call took effect is not known.",
            retry_delay=None,
        ),
        applied=True,
    )


def _of_repeatable(status: StatusError, unit: Unit) -> StatusError:
    """Return the status of a write that has a request id, and so may be repeated also where its outcome is unknown.

    Until it has the id for itself an earlier call may have done the same, so that it cannot say "not applied".
    """
    if "outcome" not in status.metadata:
        return status
    delay = RETRY_DELAY if status.code is StatusCode.UNAVAILABLE else status.retry_delay
    unknown = {} if unit.claimed else {"outcome": "unknown"}
    return replace(status, metadata={**status.metadata, **unknown}, retry_delay=delay)


def _with_outcome(status: StatusError, *, applied: bool) -> StatusError:
    outcome = "unknown" if applied else "not_applied"
    return replace(status, metadata={**status.metadata, "outcome": outcome})
