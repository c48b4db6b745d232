"""The interface of a codec, and the type of a column without the types around it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from sqlalchemy import Column
from sqlalchemy.types import TypeDecorator, TypeEngine


@dataclass(frozen=True)
class Codec:
    """How a value crosses; None where it crosses as it is.

    Attributes:
        to_message: From what the column gave to what the field takes.
        to_column: From the field's value, and its path for errors, to what the column takes. It raises
            StatusError, INVALID_ARGUMENT, for a value that no column takes.
    """

    to_message: Callable[[Any], Any] | None = None
    to_column: Callable[[Any, str], Any] | None = None


CodecFor: TypeAlias = Callable[[FieldDescriptor, Column[Any]], Codec | None]
"""A service's own codecs: returns how a field is kept in a column, or None to leave that to the engine."""

AS_IT_IS = Codec()


def plain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return a column's type, or what it decorates."""
    # `Interval` decorates a DateTime for the databases that have no intervals, and is a type of its own.
    while isinstance(kind, TypeDecorator) and kind.python_type is object:
        kind = kind.impl_instance
    return kind


def python_type(column: Column[Any]) -> type:
    """Return the type of a column's values in Python: of a decorated type, that of what it decorates."""
    return plain(column.type).python_type
