"""From what a handler raised to what goes over the wire: a google.rpc.Status with its details (AIP-193)."""

from typing import NoReturn

from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from tablestakes.crud import Rpc
from tablestakes.edge.handler import Context, Handler
from tablestakes.edge.translate import translate
from tablestakes.errors import StatusError

DETAILS_KEY = "grpc-status-details-bin"

# A status travels as headers, of which clients take 8 KiB, and it repeats what the caller sent: more of it would
# reach the caller as an error of another kind. In characters, and in fields.
MAX_TEXT, MAX_VIOLATIONS = 200, 20


def answer(handler: Handler, rpc: Rpc) -> Handler:
    """Return the handler with every exception turned into a status, and nothing of it told to the caller.

    grpc.aio would send the class and the text of what nobody caught.
    """

    async def answered(request: bytes, context: Context) -> bytes:
        try:
            return await handler(request, context)
        except Exception as error:  # noqa: BLE001 - this is the one place that must catch them all
            await abort(context, translate(error, rpc), rpc.domain)

    return answered


async def abort(context: Context, error: StatusError, domain: str) -> NoReturn:
    """End an RPC with an error's status.

    Raises:
        grpc.aio.AbortError: Always; grpc.aio sends the status when it arrives there.
    """
    told = status(error, domain)
    await context.abort(error.code, told.message, ((DETAILS_KEY, told.SerializeToString()),))
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
