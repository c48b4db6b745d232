"""The gate that bounds the metadata of a call.

gRPC's core bounds what one frame of HTTP/2 brings, and begins anew with each CONTINUATION: megabytes pass.
"""

from grpc import StatusCode

from tablestakes.crud.method import Method
from tablestakes.edge.arrival import Arrival, Gate
from tablestakes.edge.connections import Connections
from tablestakes.errors import StatusError

MOST_METADATA = 16 << 10
"""Bytes of metadata of a call, as HTTP/2 counts them. Clients are told (SETTINGS_MAX_HEADER_LIST_SIZE)."""

# What HTTP/2 adds for each entry (RFC 9113, section 6.5.2).
EACH = 32

_TOO_LARGE = StatusError(
    StatusCode.RESOURCE_EXHAUSTED,
    "METADATA_TOO_LARGE",
    f"The metadata of a call may have {MOST_METADATA} bytes.",
    metadata={"most": str(MOST_METADATA)},
)


def metadata_gate(connections: Connections) -> Gate:
    """Return the gate that refuses a call with too much metadata: RESOURCE_EXHAUSTED.

    Args:
        connections: Ends the connection of a caller who sends many such calls.
    """

    def let_through(arrival: Arrival, _: Method) -> None:
        if sum(len(key) + len(value) + EACH for key, value in arrival.sent) > MOST_METADATA:
            connections.misused(arrival.peer, "large_metadata")
            raise _TOO_LARGE

    return let_through
