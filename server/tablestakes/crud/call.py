"""One RPC as the function that serves it sees it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Generic, TypeVar

Q = TypeVar("Q")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as a gate found out.

    Attributes:
        subject: Who it is; None where nobody was authenticated.
        roles: The roles that it has.
        scopes: The scopes of its token (RFC 8693, section 4.2).
        attributes: Other facts of it by name, which row policies may ask for: `user` is `$caller.user`.
    """

    subject: str | None = None
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


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
