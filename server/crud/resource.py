"""What a developer declares of a resource, and the error that a wrong declaration is at start."""

import difflib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from sqlalchemy.orm import DeclarativeBase

from server.database import Database

Serve = Callable[[Database, Any], Awaitable[Message]]
"""What serves an RPC: given the database and the request, it returns the response or raises StatusError."""


class DeclarationError(Exception):
    """A declaration, a model and a proto do not fit together; the message names the culprit and a likely fix."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A message of the API and the table that keeps it.

    The proto says the rest: the name's pattern (`google.api.resource`), what is required or read-only
    (`google.api.field_behavior`), and which standard methods there are. A field is kept in the column of its
    name.

    Attributes:
        message: The resource's message class.
        model: The mapped class of its table.
        methods: Functions for RPCs that no standard method serves, or that are to be served in another way,
            by RPC name: `{"PublishPost": publish_post}`.
    """

    message: type[Message]
    model: type[DeclarativeBase]
    methods: Mapping[str, Serve] = field(default_factory=dict)

    @property
    def descriptor(self) -> Descriptor:
        """What the proto says of the message."""
        return cast(Descriptor, self.message.DESCRIPTOR)


def likely(word: str, choices: Iterable[str]) -> str:
    """Return a hint at the choice that a misspelt word most resembles, or at all of them."""
    known = sorted(choices)
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(known)}"
