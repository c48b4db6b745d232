"""From bytes to a request that is well formed and valid, and from the response back to bytes.

grpc.aio parses before any handler sees a request, and tells the caller the parser's exception if that fails; so
it is given none to parse with, and this is where requests are parsed.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import DecodeError, Message
from grpc import StatusCode

from tablestakes.crud import Rpc
from tablestakes.edge.handler import Context, Handler
from tablestakes.edge.validate import validator
from tablestakes.errors import StatusError


def decode(handler: Callable[[Any, Context], Awaitable[Message]], rpc: Rpc) -> Handler:
    """Return the handler of bytes around a handler of messages.

    It raises StatusError, INVALID_ARGUMENT, for bytes that are no such message and for one that breaks a rule.
    """
    parse, validate = rpc.request.FromString, validator(rpc)

    async def decoded(data: bytes, context: Context) -> bytes:
        try:
            request = parse(data)
        except DecodeError:
            name = rpc.request.DESCRIPTOR.full_name
            raise StatusError(
                StatusCode.INVALID_ARGUMENT,
                "MALFORMED_REQUEST",
                f"The request is not a {name}.",
                metadata={"type": name},
            ) from None
        validate(request)
        return (await handler(request, context)).SerializeToString()

    return decoded
