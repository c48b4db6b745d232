"""A repeated field that holds messages: a row of another table for each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import Column, Connection

from tablestakes.crud.schema.collection import Mention, OwnedRows, Replacement, require_filled
from tablestakes.crud.schema.field import Field, Fields, masked_fields, positions, selected_columns
from tablestakes.crud.schema.mask import WHOLE, Mask, prune


@dataclass(frozen=True, eq=False)
class ItemList:
    """A repeated field that holds messages, each kept as a row of another table.

    Attributes:
        name: As for Collection, and likewise the next two.
        writable: Whether callers may set it.
        immutable: Whether only Create may set it.
        rows: The rows of that table.
        message: The class of an item.
        fields: The fields of an item.
        order: What the items are ordered by.
        position: The column that keeps an item's place in the field, counted from 0; None where another order of
            the relationship says it.
        mask: The parts of an item that `read` returns; the fields are those that it selects.
    """

    name: str
    writable: bool
    immutable: bool
    rows: OwnedRows
    message: type[Message]
    fields: Fields
    order: tuple[Any, ...]
    position: Column[Any] | None
    readable: bool = True
    mask: Mask = WHOLE

    def is_set(self, message: Message) -> bool:
        """Return whether a message has an item in this field."""
        return bool(getattr(message, self.name))

    def masked(self, mask: Mask) -> "ItemList":
        """Return the items with those of their parts that a mask selects, of which no other columns are read."""
        if mask.whole:
            return self
        fields = masked_fields(self.fields, mask)
        rows = OwnedRows.of(self.rows.owner, selected_columns(fields.values()), self.order)
        return replace(self, rows=rows, fields=fields, mask=mask)

    def read(self, connection: Connection, messages: Mapping[Any, Message]) -> None:
        """Fill the field of messages, given by the ids of their rows."""
        self.rows.fill(connection, messages, self.name, self._item)

    @cached_property
    def _item(self) -> Callable[[Sequence[Any]], Message]:
        """The function that makes an item of a row."""
        make, mask = self.message, self.mask
        position = positions((self.rows.owner, *selected_columns(self.fields.values())))
        readers = [(field.name, field.reader(position)) for field in self.fields.values() if field.readable]
        exact = all(field.is_exact(mask.by_name.get(field.name, WHOLE)) for field in self.fields.values())

        def item(row: Sequence[Any]) -> Message:
            made = make(**{name: value for name, read in readers if (value := read(row)) is not None})
            if not exact:
                prune(made, mask)
            return made

        return item

    def replacement(self, message: Message, path: str) -> Replacement:
        """Return the rows that an owner has by the items of a message's field."""
        rows, mentions = [], []
        writable = [field for field in self.fields.values() if field.writable]
        for index, item in enumerate(getattr(message, self.name)):
            below = f"{path}.{self.name}[{index}]"
            # Every field in every row, set or not: one INSERT of many rows has the same columns in each.
            row: dict[str, Any] = {} if self.position is None else {self.position.name: index}
            for field in writable:
                row |= field.values(item, below)
                if isinstance(field, Field) and field.reference and (id_ := row[field.column.name]) is not None:
                    mentions.append(Mention(field.column, id_, f"{below}.{field.name}", getattr(item, field.name)))
            rows.append(row)
        return Replacement(rows, mentions)

    def require_writable(self, method: str) -> None:
        """Verify that a row needs no value but the owner, the position and the fields that callers may set."""
        filled = {column.name for field in self.fields.values() if field.writable for column in field.columns}
        filled |= {self.rows.owner.name} | ({self.position.name} if self.position is not None else set())
        require_filled(method, self.rows.owner.table, filled)
