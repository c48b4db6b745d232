"""From a response to bytes that can be sent."""

from google.protobuf.message import Message
from grpc import StatusCode

from tablestakes.errors import StatusError

# Bytes. gRPC's core refuses to send more, and would tell the caller nothing of the reason.
MAX_RESPONSE = 4 << 20


def encode(response: Message) -> bytes:
    """Return the bytes of a response.

    Raises:
        StatusError: RESOURCE_EXHAUSTED, they are more than can be sent.
    """
    data = response.SerializeToString()
    if len(data) > MAX_RESPONSE:
        raise StatusError(
            StatusCode.RESOURCE_EXHAUSTED,
            "RESPONSE_TOO_LARGE",
            f"The response has {len(data)} bytes, and at most {MAX_RESPONSE} can be sent.",
            metadata={"bytes": str(len(data)), "limit": str(MAX_RESPONSE)},
        )
    return data
