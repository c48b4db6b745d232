"""A repeated field that holds names of resources: a row of a link table for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import Column, Connection

from tablestakes.crud.schema.collection import Mention, OwnedRows, Replacement, require_filled
from tablestakes.crud.schema.mask import Mask
from tablestakes.crud.schema.reference import Reference
from tablestakes.errors import invalid_field


@dataclass(frozen=True, eq=False)
class NameList:
    """A repeated field that holds names, each kept as a row of a link table.

    Attributes:
        name: As for Collection, and likewise the next two.
        writable: Whether callers may set it.
        immutable: Whether only Create may set it.
        rows: The rows of the link table.
        reference: The resources that the names are of.
        column: The link table's column that refers to them.
    """

    name: str
    writable: bool
    immutable: bool
    rows: OwnedRows
    reference: Reference
    column: Column[Any]
    readable: bool = True

    def is_set(self, message: Message) -> bool:
        """Return whether a message has a name in this field."""
        return bool(getattr(message, self.name))

    def masked(self, _mask: Mask) -> "NameList":
        """Return the collection itself: a name has no parts."""
        return self

    def read(self, connection: Connection, messages: Mapping[Any, Message]) -> None:
        """Fill the field of messages, given by the ids of their rows."""
        format_name = self.reference.names.format
        self.rows.fill(connection, messages, self.name, lambda row: format_name((row[1],)))

    def replacement(self, message: Message, path: str) -> Replacement:
        """Return the links that an owner has by the names in a message's field, each once."""
        mentions = []
        for index, name in enumerate(getattr(message, self.name)):
            below = f"{path}.{self.name}[{index}]"
            if (id_ := self.reference.id_in(name, below)) is None:
                form = self.reference.names.pattern
                raise invalid_field(below, f"must be of the form {form}.", "INVALID_RESOURCE_NAME")
            mentions.append(Mention(self.column, id_, below, name))
        return Replacement(
            [{self.column.name: id_} for id_ in dict.fromkeys(each.id for each in mentions)], mentions
        )

    def require_writable(self, method: str) -> None:
        """Verify that a row of the link table needs no value but the two references."""
        require_filled(method, self.rows.owner.table, {self.rows.owner.name, self.column.name})
