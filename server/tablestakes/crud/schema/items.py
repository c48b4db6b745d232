"""Repeated fields that other tables keep: names of resources in a link table, and items with a row each.

Each is read for a whole page of resources in one statement, and written as a whole.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import Column, Connection, Delete, Insert, Select, Table, bindparam, delete, insert, select
from sqlalchemy.orm import Mapper, RelationshipProperty

from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.schema.behavior import IMMUTABLE, OUTPUT_ONLY, behaves
from tablestakes.crud.schema.codec import CodecFor, python_type
from tablestakes.crud.schema.field import Field, Fields, fields_of
from tablestakes.crud.schema.name import Names
from tablestakes.crud.schema.reference import Reference, existing, missing, reference_to
from tablestakes.errors import invalid_field

Replace = Callable[[Connection, Any], None]
"""Replaces the rows of one owner, given its id, in a transaction. It raises StatusError, INVALID_ARGUMENT, where a
row refers to a resource that does not exist."""


class Collection(Protocol):
    """A repeated field of a resource that another table keeps."""

    @property
    def name(self) -> str:
        """Its name in the proto."""

    @property
    def writable(self) -> bool:
        """Whether callers may set it."""

    @property
    def immutable(self) -> bool:
        """Whether only Create may set it."""

    @property
    def readable(self) -> bool:
        """Whether it is ever returned."""

    def is_set(self, message: Message) -> bool:
        """Return whether a message has an item in this field."""

    def read(self, connection: Connection, messages: Mapping[Any, Message]) -> None:
        """Fill the field of messages, given by the ids of their rows."""

    def replacement(self, message: Message, path: str) -> Replace:
        """Return the function that makes the rows of an owner those of a message's field.

        Raises:
            StatusError: INVALID_ARGUMENT, with the path of an item below that of the message.
        """

    def require_writable(self, method: str) -> None:
        """Verify at start that a standard method can write the field.

        Raises:
            DeclarationError: A column of its table would have no value.
        """


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a collection in their table.

    Attributes:
        owner: The column that refers to the row's owner.
        select: Selects the rows of the owners `owners`: the owner, then what an item is made of.
        delete: Deletes the rows of the owner `owner`.
        insert: Inserts rows.
    """

    owner: Column[Any]
    select: Select[Any]
    delete: Delete
    insert: Insert

    @staticmethod
    def of(owner: Column[Any], columns: Iterable[Column[Any]], order: Iterable[Any]) -> "Rows":
        """Return the rows that an owner column finds, with some columns, in an order."""
        return Rows(
            owner=owner,
            select=select(owner, *columns)
            .where(owner.in_(bindparam("owners", expanding=True)))
            .order_by(owner, *order),
            delete=delete(owner.table).where(owner == bindparam("owner")),
            insert=insert(owner.table),
        )

    def fill(
        self, connection: Connection, messages: Mapping[Any, Message], name: str, item: Callable[..., Any]
    ) -> None:
        """Fill a repeated field of messages, given by their ids, with what `item` makes of each row."""
        items: dict[Any, list[Any]] = defaultdict(list)
        for row in connection.execute(self.select, {"owners": list(messages)}):
            items[row[0]].append(item(row))
        for id_, values in items.items():
            getattr(messages[id_], name).extend(values)

    def replace(self, connection: Connection, owner: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replace the rows of an owner."""
        connection.execute(self.delete, {"owner": owner})
        if rows:
            connection.execute(self.insert, [{self.owner.name: owner, **row} for row in rows])


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
    rows: Rows
    reference: Reference
    column: Column[Any]
    readable: bool = True

    def is_set(self, message: Message) -> bool:
        """Return whether a message has a name in this field."""
        return bool(getattr(message, self.name))

    def read(self, connection: Connection, messages: Mapping[Any, Message]) -> None:
        """Fill the field of messages, given by the ids of their rows."""
        format_name = self.reference.names.format
        self.rows.fill(connection, messages, self.name, lambda row: format_name((row[1],)))

    def replacement(self, message: Message, path: str) -> Replace:
        """Return the function that links an owner to the resources that a message's field names."""
        names = list(getattr(message, self.name))
        ids = []
        for index, name in enumerate(names):
            below = f"{path}.{self.name}[{index}]"
            if (id_ := self.reference.id_in(name, below)) is None:
                form = self.reference.names.pattern
                raise invalid_field(below, f"must be of the form {form}.", "INVALID_RESOURCE_NAME")
            ids.append(id_)

        def replace(connection: Connection, owner: Any) -> None:
            if ids and (unknown := set(ids) - existing(connection, self.column, ids)):
                index = next(index for index, each in enumerate(ids) if each in unknown)
                raise missing(f"{path}.{self.name}[{index}]", names[index])
            self.rows.replace(connection, owner, [{self.column.name: id_} for id_ in dict.fromkeys(ids)])

        return replace

    def require_writable(self, method: str) -> None:
        """Verify that a row of the link table needs no value but the two references."""
        _require_filled(method, self.rows.owner.table, {self.rows.owner.name, self.column.name})


@dataclass(frozen=True, eq=False)
class ItemList:
    """A repeated field that holds messages, each kept as a row of another table.

    Attributes:
        name: As for Collection, and likewise the next two.
        writable: Whether callers may set it.
        immutable: Whether only Create may set it.
        rows: The rows of that table.
        fields: The fields of an item.
        item: Makes an item of a row.
        position: The column that keeps an item's place in the field, counted from 0; None where another order of
            the relationship says it.
    """

    name: str
    writable: bool
    immutable: bool
    rows: Rows
    fields: Fields
    item: Callable[[Sequence[Any]], Message]
    position: Column[Any] | None
    readable: bool = True

    def is_set(self, message: Message) -> bool:
        """Return whether a message has an item in this field."""
        return bool(getattr(message, self.name))

    def read(self, connection: Connection, messages: Mapping[Any, Message]) -> None:
        """Fill the field of messages, given by the ids of their rows."""
        self.rows.fill(connection, messages, self.name, self.item)

    def replacement(self, message: Message, path: str) -> Replace:
        """Return the function that makes the rows of an owner the items of a message's field."""
        items = list(getattr(message, self.name))
        writable = [field for field in self.fields.values() if field.writable]
        rows = []
        for index, item in enumerate(items):
            # Every field in every row, set or not: one INSERT of many rows has the same columns in each.
            row: dict[str, Any] = {} if self.position is None else {self.position.name: index}
            for field in writable:
                row |= field.values(item, f"{path}.{self.name}[{index}]")
            rows.append(row)

        def replace(connection: Connection, owner: Any) -> None:
            for field in writable:
                if isinstance(field, Field) and field.reference is not None:
                    self._require_existing(connection, field, rows, items, path)
            self.rows.replace(connection, owner, rows)

        return replace

    def _require_existing(
        self,
        connection: Connection,
        field: Field,
        rows: Sequence[Mapping[str, Any]],
        items: Sequence[Message],
        path: str,
    ) -> None:
        ids = [row.get(field.column.name) for row in rows]
        if wanted := {id_ for id_ in ids if id_ is not None}:
            unknown = wanted - existing(connection, field.column, wanted)
            for index, id_ in enumerate(ids):
                if id_ in unknown:
                    below = f"{path}.{self.name}[{index}].{field.name}"
                    raise missing(below, getattr(items[index], field.name))

    def require_writable(self, method: str) -> None:
        """Verify that a row needs no value but the owner, the position and the fields that callers may set."""
        filled = {column.name for field in self.fields.values() if field.writable for column in field.columns}
        filled |= {self.rows.owner.name} | ({self.position.name} if self.position is not None else set())
        _require_filled(method, self.rows.owner.table, filled)


def collections_of(
    message: Descriptor, mapper: Mapper[Any], names: Mapping[str, Names], codecs: Sequence[CodecFor]
) -> dict[str, Collection]:
    """Return the repeated fields of a message that the model's relationships of their names keep.

    Raises:
        DeclarationError: A field has neither a column nor a relationship of its name, or one of another kind.
    """
    table = cast(Table, mapper.local_table)
    return {
        field.name: _collection(field, mapper, names, codecs)
        for field in message.fields
        if field.is_repeated and field.name not in table.c
    }


def _collection(
    field: FieldDescriptor, mapper: Mapper[Any], names: Mapping[str, Names], codecs: Sequence[CodecFor]
) -> Collection:
    relationship = mapper.relationships.get(field.name)
    if relationship is None:
        kept = [*mapper.relationships.keys(), *mapper.columns.keys()]
        raise DeclarationError(
            f"{field.full_name} is repeated, and {mapper.class_.__name__} has neither a JSON column nor"
            f" a relationship of its name; {likely(field.name, kept)}"
        )
    if target := reference_to(field, names):
        return _name_list(field, relationship, target)
    if field.message_type is None:
        raise DeclarationError(
            f"{field.full_name} holds neither names of resources nor messages: it needs a JSON column"
        )
    return _item_list(field, field.message_type, relationship, names, codecs)


def _owner(relationship: RelationshipProperty[Any]) -> Column[Any]:
    return cast("Column[Any]", relationship.synchronize_pairs[0][1])


def _name_list(field: FieldDescriptor, relationship: RelationshipProperty[Any], target: Reference) -> NameList:
    if relationship.secondary is None:
        raise DeclarationError(f"{field.full_name} holds names, and its relationship has no secondary table")
    column = cast("Column[Any]", next(iter(relationship.secondary_synchronize_pairs or ()))[1])
    return NameList(
        name=field.name,
        writable=not behaves(field, OUTPUT_ONLY),
        immutable=behaves(field, IMMUTABLE),
        rows=Rows.of(_owner(relationship), (column,), (column,)),
        reference=target,
        column=column,
    )


def _item_list(
    field: FieldDescriptor,
    message: Descriptor,
    relationship: RelationshipProperty[Any],
    names: Mapping[str, Names],
    codecs: Sequence[CodecFor],
) -> ItemList:
    if relationship.secondary is not None:
        raise DeclarationError(f"{field.full_name} holds messages, and its relationship has a secondary table")
    table = cast(Table, relationship.mapper.local_table)
    for below in message.fields:
        if below.is_repeated and below.name not in table.c:
            raise DeclarationError(f"{below.full_name} is repeated, and needs a JSON column in {table.name}")
    fields = fields_of(message, table, names, codecs)
    owner = _owner(relationship)
    columns = tuple(column for each in fields.values() for column in each.columns)
    order: tuple[Any, ...] = tuple(relationship.order_by or ()) or tuple(table.primary_key.columns)
    return ItemList(
        name=field.name,
        writable=not behaves(field, OUTPUT_ONLY),
        immutable=behaves(field, IMMUTABLE),
        rows=Rows.of(owner, columns, order),
        fields=fields,
        item=_item(message, fields, (owner, *columns)),
        position=_position(table, order[0], {owner, *columns}),
    )


def _position(table: Table, column: Any, taken: set[Column[Any]]) -> Column[Any] | None:
    """Return the column that keeps an item's place: an integer that orders the items and nothing else sets."""
    plain = isinstance(column, Column) and column.table is table and column not in taken
    if not plain or column is table.autoincrement_column or python_type(column) is not int:
        return None
    return cast("Column[Any]", column)


def _item(
    message: Descriptor, fields: Fields, columns: Sequence[Column[Any]]
) -> Callable[[Sequence[Any]], Message]:
    make, position = GetMessageClass(message), {column: index for index, column in enumerate(columns)}.__getitem__
    readers = [(field.name, field.reader(position)) for field in fields.values() if field.readable]

    def item(row: Sequence[Any]) -> Message:
        return make(**{name: value for name, read in readers if (value := read(row)) is not None})

    return item


def _require_filled(method: str, table: Any, filled: set[str]) -> None:
    if unfilled := unfilled_columns(table, filled):
        raise DeclarationError(
            f"{method} cannot write {table.name}: {', '.join(unfilled)} would have no value. Give it a default, or"
            f" serve {method.rpartition('.')[2]} by a function"
        )


def unfilled_columns(table: Table, filled: set[str]) -> list[str]:
    """Return the names of the columns that an INSERT of some others leaves without the value that they need."""
    return [
        column.name
        for column in table.columns
        if column.name not in filled
        and not column.nullable
        and column.default is None
        and column.server_default is None
        and column.computed is None
        and column.identity is None
        and column is not table.autoincrement_column
    ]
