"""The policies of a resource: which rows callers may see and write, and which of its fields."""

from dataclasses import dataclass
from typing import Final

ANYONE: Final = "anyone"
"""Everybody who may call, whether it is known who that is or not."""

AUTHENTICATED: Final = "authenticated"
"""Everybody of whom it is known who that is."""

EVERY_ROW: Final = "*"
"""All rows of the resource."""


@dataclass(frozen=True, kw_only=True)
class RowPolicy:
    """Rows that callers with a role may use. Several policies add up, as PostgreSQL's permissive ones do.

    A filter (AIP-160) says which rows: `state = PUBLISHED OR author = $caller.user`. `$caller.subject` is the
    subject of the caller, and `$caller.<name>` another attribute of it. A term with an attribute that the caller
    does not have is not true, and neither is NOT in front of it. Beside the fields of the resource there is
    `parent`, the name of the resource above it.

    Attributes:
        to: The role, or ANYONE, or AUTHENTICATED.
        read: The rows that may be seen; "" for none.
        write: The rows that may be changed and deleted, and be created: each must be one of them, before the write
            and after it. "" for none.
    """

    to: str
    read: str = ""
    write: str = ""


@dataclass(frozen=True, kw_only=True)
class FieldPolicy:
    """A field that not every caller may use.

    Attributes:
        field: The name of the field of the resource.
        readers: The roles whose callers are told its value, ANYONE and AUTHENTICATED among them; None for all.
            Those who are not may neither filter nor order by it, nor set it.
        writers: The roles whose callers may set it; None for all.
        preset: The value that it has when anybody else creates the resource: `$caller.user` for an attribute of
            the caller. "" for none.
    """

    field: str
    readers: frozenset[str] | None = None
    writers: frozenset[str] | None = None
    preset: str = ""
