"""What a developer declares of a resource."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from sqlalchemy.orm import DeclarativeBase

from tablestakes.database import Database

Serve = Callable[[Database, Any], Awaitable[Message]]
"""What serves an RPC: given the database and the request, it returns the response or raises StatusError."""


Method = Callable[[Any, Database, Any], Awaitable[Message]]
"""A function that serves an RPC: given the compiled resource (a Plan), the database and the
request."""


@dataclass(frozen=True)
class Transition:
    """A method that changes a resource's state, and nothing else (AIP-216).

    Attributes:
        sources: The states that it may be in: `("DRAFT",)`.
        target: The state that it is in then.
        stamp: The field that tells when, or None.
    """

    sources: tuple[str, ...]
    target: str
    stamp: str | None = None


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A message of the API and the table that keeps it.

    The proto says the rest: the name's pattern (`google.api.resource`), what is required or read-only
    (`google.api.field_behavior`), and which standard methods there are. A field is kept in the column of its
    name.

    Attributes:
        message: The resource's message class.
        model: The mapped class of its table.
        methods: What serves the RPCs that no standard method serves, or that are to be served in another way,
            by RPC name: a function, or a `Transition` of the resource's state.
        detail: The fields that are costly to read: the BASIC view leaves them out (AIP-157).
        encode: Functions from a field's value to what is kept of it, for those where that takes time: a hash.
    """

    message: type[Message]
    model: type[DeclarativeBase]
    methods: "Mapping[str, Method | Transition]" = field(default_factory=dict)
    detail: frozenset[str] = frozenset()
    encode: Mapping[str, Callable[[Any], Awaitable[Any]]] = field(default_factory=dict)

    @property
    def descriptor(self) -> Descriptor:
        """What the proto says of the message."""
        return cast(Descriptor, self.message.DESCRIPTOR)
