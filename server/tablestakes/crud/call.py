"""One RPC as the function that serves it sees it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

Q = TypeVar("Q")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        subject: Who it is, as a gate found out; None where nobody was authenticated.
    """

    subject: str | None = None


ANONYMOUS = Caller()


@dataclass(frozen=True, slots=True)
class Call(Generic[Q]):
    """One RPC, decoded, valid and allowed.

    Attributes:
        request: The request, of the class of its stub.
        caller: Who calls.
        first_sent: When the caller made this call for the first time; None where the caller did not say.
    """

    request: Q
    caller: Caller = ANONYMOUS
    first_sent: datetime | None = None
