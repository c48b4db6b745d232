"""Repeated fields of a resource: rows of another table, read for a whole page in one statement."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import Column, Connection, Select, Table, bindparam, insert, select
from sqlalchemy import delete as delete_from
from sqlalchemy.orm import Mapper

from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.schema.behavior import IMMUTABLE, OUTPUT_ONLY, behaves
from tablestakes.crud.schema.field import Field, fields_of
from tablestakes.crud.schema.name import Names
from tablestakes.crud.schema.reference import Reference, exists, missing, reference_to
from tablestakes.errors import invalid_field


@dataclass(frozen=True, eq=False)
class Collection:
    """A repeated field.

    Attributes:
        name: Its name in the proto.
        owner: The column that says whose row it is.
        statement: Selects the rows of the owners `owners`, the owner first.
        to_value: From such a row to an item of the field.
        target: Where the items are names, what they refer to and the column that keeps it; else None.
        fields: Where the items are messages, their fields by name.
        writable: Whether callers may set it.
        immutable: Whether only Create may set it.
    """

    name: str
    owner: Column[Any]
    statement: Select[Any]
    to_value: Callable[[Sequence[Any]], Any]
    target: tuple[Reference, Column[Any]] | None
    fields: Mapping[str, Field]
    writable: bool
    immutable: bool
    readable: bool = True

    def is_set(self, message: Message) -> bool:
        """Return whether a message has an item in this field."""
        return bool(getattr(message, self.name))

    def read(self, connection: Connection, messages: Mapping[Any, Message]) -> None:
        """Fill the field of messages.

        Args:
            connection: What to read on.
            messages: The messages by their rows' keys.
        """
        items: dict[Any, list[Any]] = defaultdict(list)
        for row in connection.execute(self.statement, {"owners": list(messages)}):
            items[row[0]].append(self.to_value(row))
        for key, values in items.items():
            getattr(messages[key], self.name).extend(values)

    def keys(self, message: Message, path: str) -> list[Any]:
        """Return the keys that the names in a message's field stand for.

        Raises:
            StatusError: INVALID_ARGUMENT, with the path of an item below that of the message.
        """
        assert self.target is not None  # noqa: S101 - only names are written here, and `bind` sees to that
        reference, _ = self.target
        keys = []
        for index, name in enumerate(getattr(message, self.name)):
            below = f"{path}.{self.name}[{index}]"
            if (key := reference.key(name, below)) is None:
                raise invalid_field(
                    below, f"must be of the form {reference.names.pattern}.", "INVALID_RESOURCE_NAME"
                )
            keys.append(key)
        return keys

    def write(self, connection: Connection, key: Any, message: Message, path: str) -> None:
        """Replace the rows of an owner by what a message's field says.

        Raises:
            StatusError: INVALID_ARGUMENT, an item is not a name, or names nothing.
        """
        keys = self.keys(message, path)
        assert self.target is not None  # noqa: S101 - as above
        column = self.target[1]
        if keys and (unknown := set(keys) - exists(connection, column, keys)):
            index = next(index for index, each in enumerate(keys) if each in unknown)
            raise missing(f"{path}.{self.name}[{index}]", getattr(message, self.name)[index])
        connection.execute(delete_from(self.owner.table).where(self.owner == key))
        if keys:
            rows = [{self.owner.name: key, column.name: each} for each in dict.fromkeys(keys)]
            connection.execute(insert(self.owner.table), rows)


def collections_of(message: Descriptor, mapper: Mapper[Any], names: Mapping[str, Names]) -> dict[str, Collection]:
    """Return the repeated fields of a message, each kept by the model's relationship of its name.

    Raises:
        DeclarationError: A field has no such relationship, or one of another kind.
    """
    return {field.name: _collection(field, mapper, names) for field in message.fields if field.is_repeated}


def _collection(field: FieldDescriptor, mapper: Mapper[Any], names: Mapping[str, Names]) -> Collection:
    relationship = mapper.relationships.get(field.name)
    if relationship is None:
        raise DeclarationError(
            f"{field.full_name} is repeated, and {mapper.class_.__name__} has no relationship of its name;"
            f" {likely(field.name, mapper.relationships.keys() or ['no relationships'])}"
        )
    owner = cast("Column[Any]", relationship.synchronize_pairs[0][1])
    target: tuple[Reference, Column[Any]] | None = None
    items: Mapping[str, Field] = {}
    to_value: Callable[[Sequence[Any]], Any]
    if reference := reference_to(field, names):
        if relationship.secondary is None:
            raise DeclarationError(f"{field.full_name} holds names, and its relationship has no secondary table")
        column = cast("Column[Any]", next(iter(relationship.secondary_synchronize_pairs or ()))[1])
        target = (reference, column)
        columns: tuple[Column[Any], ...] = (column,)
        order: Sequence[Any] = (column,)
        to_value = _name_in(reference)
    elif field.message_type is not None:
        table = cast(Table, relationship.mapper.local_table)
        items = fields_of(field.message_type, table, names)
        columns, to_value = tuple(item.column for item in items.values()), _items(field.message_type, items)
        order = relationship.order_by or tuple(table.primary_key.columns)
    else:
        raise DeclarationError(f"{field.full_name} holds neither names of resources nor messages")
    return Collection(
        name=field.name,
        owner=owner,
        statement=select(owner, *columns)
        .where(owner.in_(bindparam("owners", expanding=True)))
        .order_by(owner, *order),
        to_value=to_value,
        target=target,
        fields=items,
        writable=not behaves(field, OUTPUT_ONLY),
        immutable=behaves(field, IMMUTABLE),
    )


def _name_in(reference: Reference) -> Callable[[Sequence[Any]], Any]:
    """Return the function from a row to the name in it, after its owner's key."""
    return lambda row: reference.names.format((row[1],))


def _items(message: Descriptor, fields: Mapping[str, Field]) -> Callable[[Sequence[Any]], Message]:
    """Return the function from a row of an item's fields, after its owner's key, to the item."""
    steps = tuple((index, field.name, field.codec.to_message) for index, field in enumerate(fields.values(), 1))
    make = GetMessageClass(message)

    def item(row: Sequence[Any]) -> Message:
        values = {}
        for index, name, convert in steps:
            if (value := row[index]) is not None:
                values[name] = convert(value) if convert else value
        return make(**values)

    return item
