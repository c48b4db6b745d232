"""The write of a resource, as who listens for the writes of it is told: in the same transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tablestakes.crud.key import Key

if TYPE_CHECKING:
    from tablestakes.crud.session import Session

Kind: TypeAlias = Literal["created", "updated", "deleted", "undeleted", "purged"]


@dataclass(frozen=True, slots=True)
class Written:
    """The write of one resource.

    Attributes:
        message: The full name of the resource's message.
        kind: What was done to it. "deleted" is for good where there is no row.
        key: The ids in its name.
        row: Its row as it is now, by column of the table as far as the full view reads it; None where it is gone.
    """

    message: str
    kind: Kind
    key: Key
    row: Any = None


OnWrite: TypeAlias = Callable[["Session", Written], None]
"""Is told of a write, and may write on the session's connection itself, which takes effect with the write or not at
all. What it raises undoes the write."""
