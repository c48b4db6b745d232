"""The answer to an RPC, as it is sent."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """A response.

    Attributes:
        data: Its bytes.
        replayed: Whether it is the answer that was given to an earlier call with the same request id.
    """

    data: bytes
    replayed: bool = False
