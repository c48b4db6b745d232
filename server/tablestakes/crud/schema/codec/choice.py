"""Enums, by the names of their values or by their numbers."""

import enum
from typing import Any

from google.protobuf.descriptor import EnumDescriptor
from sqlalchemy import Enum, String
from sqlalchemy.types import TypeEngine

from tablestakes.crud.schema.codec.crossing import Codec
from tablestakes.crud.schema.codec.number import bounds
from tablestakes.errors import invalid_field


def choice(choices: EnumDescriptor, kind: TypeEngine[Any]) -> Codec | None:
    """Return how an enum is kept, or None where the column has no room for each of its values.

    A column of text is one that a person can read, and lets the proto renumber; one of integers lets it rename.
    """
    # Of several names of one number the first is what it is called.
    names = {value.number: value.name for value in reversed(choices.values)}
    if kind.python_type is int:
        low, high = bounds(kind)
        return _by_number(choices, names) if low <= min(names) and max(names) <= high else None
    # Zero says that nothing is said, and a column may well have no room for it.
    if isinstance(kind, Enum):
        kept = {number: name for number, name in names.items() if name in kind.enums}
        return _by_name(choices, kept, kind.enum_class) if kept.keys() >= names.keys() - {0} else None
    if kind.python_type is not str or not isinstance(kind, String):
        return None
    longest = max(len(name) for number, name in names.items() if number or len(names) == 1)
    return _by_name(choices, names) if kind.length is None or longest <= kind.length else None


def _by_number(choices: EnumDescriptor, names: dict[int, str]) -> Codec:
    def to_column(number: int, path: str) -> int:
        if number not in names:
            raise unknown(choices, number, path)
        return number

    return Codec(to_column=to_column)


def _by_name(choices: EnumDescriptor, names: dict[int, str], members: Any = None) -> Codec:
    numbers = {value.name: value.number for value in choices.values}

    def to_column(number: int, path: str) -> str:
        if number not in names:
            raise unknown(choices, number, path)
        return names[number]

    if isinstance(members, type) and issubclass(members, enum.Enum):
        # SQLAlchemy takes the name for the member, and returns the member.
        return Codec(lambda member: numbers[member.name], to_column)
    return Codec(numbers.__getitem__, to_column)


def unknown(choices: EnumDescriptor, number: int, path: str) -> Exception:
    """Return the error of a number that an enum does not have, or that its column does not keep."""
    return invalid_field(path, f"{number} is not a value of {choices.name}.", "UNKNOWN_ENUM_VALUE")
