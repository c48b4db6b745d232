"""The part of a resource that a read returns, as a field mask selects it (AIP-157): one way for every part.

FULL and BASIC are two masks: everything, and everything but what is costly to read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from sqlalchemy import ColumnElement, Connection, Row

from tablestakes.crud.key import Key
from tablestakes.crud.schema.collection import Collection
from tablestakes.crud.schema.field import Field, NestedField, positions, selected_columns
from tablestakes.crud.schema.mask import WHOLE, Mask, prune, read_mask
from tablestakes.crud.schema.name import Names

Part: TypeAlias = Field | NestedField | Collection
"""A field of a resource: columns keep it, or another table does."""

# Views of masks that callers sent, of one resource: those that were used last.
KEPT_VIEWS = 128


@dataclass(frozen=True, eq=False)
class View:
    """The columns of a view, and the way from their rows to messages.

    Attributes:
        columns: The columns that a statement selects or returns so that `messages` can read its rows; those of
            the name come first.
        to_message: Makes a message of such a row, without its collections.
        collections: The repeated fields that other tables keep.
        depth: How many columns the name has.
    """

    columns: tuple[ColumnElement[Any], ...]
    to_message: Callable[[Row[Any]], Message]
    collections: tuple[Collection, ...]
    depth: int

    def key(self, row: Row[Any]) -> Key:
        """Return the ids in the name of a row."""
        return tuple(row[: self.depth])

    def messages(self, connection: Connection, rows: Sequence[Row[Any]]) -> list[Message]:
        """Return the messages of rows, in their order; each collection costs one more statement for all of them.

        Args:
            connection: The connection that collections are read on.
            rows: Rows of `columns`.
        """
        messages = [self.to_message(row) for row in rows]
        if self.collections and messages:
            last = self.depth - 1
            by_id = {row[last]: message for row, message in zip(rows, messages, strict=True)}
            for collection in self.collections:
                collection.read(connection, by_id)
        return messages

    def message(self, connection: Connection, row: Row[Any]) -> Message:
        """Return the message of one row."""
        if not self.collections:
            return self.to_message(row)
        return self.messages(connection, [row])[0]


class Views:
    """The views of a resource.

    Args:
        message: Its message class.
        names: Its names.
        parts: Its fields and collections.
    """

    def __init__(self, message: type[Message], names: Names, parts: Sequence[Part]) -> None:
        self._message = message
        self._names = names
        self._parts = parts
        # Callers send few masks, and each many times. Those that select the same share a view and its statements.
        self._of_paths = lru_cache(KEPT_VIEWS)(self._read)
        self._of_mask = lru_cache(KEPT_VIEWS)(self._compile)

    def of(self, mask: Mask) -> View:
        """Return the view of a mask."""
        return self._of_mask(mask)

    def of_paths(self, paths: Sequence[str]) -> View:
        """Return the view of a `read_mask`.

        Raises:
            StatusError: As `read_mask` says.
        """
        return self._of_paths(tuple(paths))

    def _read(self, paths: tuple[str, ...]) -> View:
        return self._of_mask(read_mask(cast(Descriptor, self._message.DESCRIPTOR), paths))

    def _compile(self, mask: Mask) -> View:
        return view_of(self._message, self._names, self._parts, mask)


def view_of(message: type[Message], names: Names, parts: Sequence[Part], mask: Mask = WHOLE) -> View:
    """Return the view with those parts of a resource that a mask selects.

    Args:
        message: Its message class.
        names: Its names.
        parts: Its fields and collections.
        mask: The mask.
    """
    chosen = {part.name: WHOLE if mask.whole else mask.by_name.get(part.name) for part in parts}
    masked = [part.masked(below) for part in parts if part.readable and (below := chosen[part.name]) is not None]
    fields = [part for part in masked if isinstance(part, Field | NestedField)]
    collections = tuple(part for part in masked if not isinstance(part, Field | NestedField))
    columns = tuple(dict.fromkeys([*names.columns, *selected_columns(fields)]))
    position = positions(columns)
    # A field of one column is read without a call of ours where its codec needs none: most fields of most rows are.
    plain = tuple(
        (field.name, position(field.column), field.codec.to_message) for field in fields if isinstance(field, Field)
    )
    nested = tuple((field.name, field.reader(position)) for field in fields if isinstance(field, NestedField))
    exact = all(field.is_exact(chosen[field.name] or WHOLE) for field in fields)
    depth = len(names.columns)
    name_of = names.format if mask.whole or "name" in mask.by_name else None

    def to_message(row: Row[Any]) -> Message:
        values: dict[str, Any] = {} if name_of is None else {"name": name_of(tuple(row[:depth]))}
        for name, index, convert in plain:
            value = row[index]
            if value is not None:
                values[name] = convert(value) if convert else value
        for name, read in nested:
            if (value := read(row)) is not None:
                values[name] = value
        return message(**values)

    def to_pruned(row: Row[Any]) -> Message:
        made = to_message(row)
        prune(made, mask)
        return made

    return View(columns, to_message if exact else to_pruned, collections, depth)
