"""The answer to a call that failed: a google.rpc.Status with its details (AIP-193)."""

from typing import NoReturn

from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from tablestakes.edge.handler import Context
from tablestakes.errors import StatusError

DETAILS_KEY = "grpc-status-details-bin"

# A status travels as headers, of which clients take 8 KiB, and it repeats what the caller sent: a longer one would
# reach the caller as an error of another kind. In characters, and in fields.
MAX_TEXT, MAX_VIOLATIONS = 200, 20


async def abort(context: Context, error: StatusError, domain: str) -> NoReturn:
    """End an RPC with an error's status.

    Raises:
        grpc.aio.AbortError: Always; grpc.aio sends the status when it arrives there.
    """
    answer = status(error, domain)
    await context.abort(error.code, answer.message, ((DETAILS_KEY, answer.SerializeToString()),))
    raise AssertionError("abort() returned")


def status(error: StatusError, domain: str) -> status_pb2.Status:
    """Return the status of an error.

    Args:
        error: The error.
        domain: The service's host, which makes the reason unique in the world (ErrorInfo.domain).
    """
    metadata = {key: _clip(value) for key, value in error.metadata.items()}
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=domain, metadata=metadata)]
    if error.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(
                field=_clip(violation.field), description=_clip(violation.description), reason=violation.reason
            )
            for violation in error.violations[:MAX_VIOLATIONS]
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if error.retry_delay is not None:
        delay = Duration()
        delay.FromNanoseconds(round(error.retry_delay * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = [Packed() for _ in details]
    for any_, detail in zip(packed, details, strict=True):
        any_.Pack(detail)
    return status_pb2.Status(code=error.code.value[0], message=_clip(error.message), details=packed)


def _clip(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
