"""Strings, in columns of text and of UUIDs."""

import re
from typing import Any
from uuid import UUID

from sqlalchemy import Enum, Uuid
from sqlalchemy.types import TypeEngine

from tablestakes.crud.schema.codec.crossing import Codec
from tablestakes.errors import invalid_field

UUID_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def _text(value: str, path: str) -> str:
    # PostgreSQL's text has no NUL (it would answer 22021) and SQLite's has: no database keeps it here.
    if "\x00" in value:
        raise invalid_field(path, "must not contain a NUL character.", "NUL_CHARACTER")
    return value


TEXT = Codec(to_column=_text)


def string(kind: TypeEngine[Any], *, empty_is_null: bool) -> Codec | None:
    """Return how a string is kept.

    Args:
        kind: The column's type.
        empty_is_null: Whether the empty string stands for no value where it could not be kept itself.
    """
    if isinstance(kind, Uuid):
        return _uuid(as_uuid=kind.as_uuid, empty_is_null=empty_is_null)
    if kind.python_type is not str:
        return None
    return _label(kind) if isinstance(kind, Enum) else TEXT


def _uuid(*, as_uuid: bool, empty_is_null: bool) -> Codec:
    def to_column(value: str, path: str) -> Any:
        # One spelling for each: `UUID` itself takes braces, capitals and text without dashes as well.
        if UUID_TEXT.fullmatch(value):
            return UUID(value) if as_uuid else value
        # As NULL is read, so it is written: a field without presence shows it as the empty string.
        if not value and empty_is_null:
            return None
        raise invalid_field(path, "must be a UUID in lower case, with dashes.", "INVALID_UUID")

    return Codec(str if as_uuid else None, to_column)


def _label(kind: Enum) -> Codec:
    labels = frozenset(kind.enums)

    def to_column(value: str, path: str) -> str:
        if value not in labels:
            raise invalid_field(path, f"must be one of {', '.join(kind.enums)}.", "UNKNOWN_VALUE")
        return value

    return Codec(to_column=to_column)
