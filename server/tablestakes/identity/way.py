"""The ways in which callers prove who they are."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from grpc import StatusCode

from tablestakes.crud.call import Caller
from tablestakes.edge.arrival import Arrival
from tablestakes.errors import StatusError

Way: TypeAlias = Callable[[Arrival], Awaitable[Caller | None] | Caller | None]
"""Returns who calls; None where the call has no credentials of this kind. It raises StatusError, UNAUTHENTICATED,
for credentials that are bad: they are not passed on to the next way."""

# Bytes of a token or a key. Longer ones are refused before they are looked at.
MOST_BYTES = 8192


def bearer_of(arrival: Arrival) -> str | None:
    """Return the credentials of `authorization: Bearer …` (RFC 6750, section 2.1), None without any.

    Raises:
        StatusError: UNAUTHENTICATED, they are of another scheme, or too long.
    """
    given = arrival.metadata.get("authorization")
    if given is None:
        return None
    scheme, _, credentials = (given if isinstance(given, str) else "").partition(" ")
    if scheme.lower() != "bearer" or not credentials or len(credentials) > MOST_BYTES:
        raise refused("The metadata `authorization` is not `Bearer <token>`.", "CREDENTIALS_INVALID")
    return credentials


def refused(message: str, reason: str) -> StatusError:
    """Return UNAUTHENTICATED for credentials that are bad."""
    return StatusError(StatusCode.UNAUTHENTICATED, reason, message)
