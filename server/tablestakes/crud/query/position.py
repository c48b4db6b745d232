"""The place in an order where a page ended, as bytes: the values by which its last row is ordered."""

import enum
import json
import struct
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

MICROSECOND = timedelta(microseconds=1)


def _float(text: str) -> float:
    found: float = struct.unpack(">d", bytes.fromhex(text))[0]
    return found


# A letter for each type, the type, the way to text, and the way back. A bool is an int, and a datetime is a date,
# so the narrower type comes first.
_Way = tuple[str, type, Callable[[Any], Any], Callable[[Any], Any]]
_WAYS: tuple[_Way, ...] = (
    ("e", enum.Enum, lambda value: value.name, lambda text: text),
    ("b", bool, int, bool),
    ("i", int, str, int),
    ("s", str, str, str),
    # The eight bytes themselves, for an infinity is no JSON.
    ("f", float, lambda value: struct.pack(">d", value).hex(), _float),
    ("u", UUID, str, UUID),
    ("t", datetime, datetime.isoformat, datetime.fromisoformat),
    ("d", date, date.isoformat, date.fromisoformat),
    ("c", time, time.isoformat, time.fromisoformat),
    ("l", timedelta, lambda value: str(value // MICROSECOND), lambda text: int(text) * MICROSECOND),
    ("n", Decimal, str, Decimal),
    ("y", bytes, bytes.hex, bytes.fromhex),
)
_BACK = {letter: back for letter, _, _, back in _WAYS}


def pack(values: Sequence[Any]) -> bytes:
    """Return values of columns as bytes.

    Raises:
        TypeError: There is no way to keep one of them.
    """
    return json.dumps([_pair(value) for value in values], separators=(",", ":"), ensure_ascii=False).encode()


def unpack(content: bytes) -> tuple[Any, ...]:
    """Return the values of which `pack` made bytes; for a member of an enum, its name."""
    return tuple(None if pair is None else _BACK[pair[0]](pair[1]) for pair in json.loads(content))


def _pair(value: Any) -> list[Any] | None:
    if value is None:
        return None
    for letter, kind, there, _ in _WAYS:
        if isinstance(value, kind):
            return [letter, there(value)]
    raise TypeError(f"{type(value).__name__} cannot be kept in a page token")
