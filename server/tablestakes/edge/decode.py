"""From the bytes of a request to a message.

grpc.aio parses before any handler sees a request, and sends the caller the parser's exception if that fails; so it
is given no parser, and requests are parsed here.
"""

from collections.abc import Callable
from typing import Any, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from grpc import StatusCode

from tablestakes.errors import StatusError


def decoder(request: type[Message]) -> Callable[[bytes], Any]:
    """Return the function that decodes requests of a class.

    It raises StatusError, INVALID_ARGUMENT, for bytes that are no such message.
    """
    parse = request.FromString
    name = cast(Descriptor, request.DESCRIPTOR).full_name

    def decode(data: bytes) -> Message:
        try:
            return parse(data)
        except DecodeError:
            raise StatusError(
                StatusCode.INVALID_ARGUMENT,
                "MALFORMED_REQUEST",
                f"The request is not a {name}.",
                metadata={"type": name},
            ) from None

    return decode
