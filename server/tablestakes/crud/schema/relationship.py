"""Finding the repeated fields that relationships of the model keep."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import Column, Table
from sqlalchemy.orm import Mapper, RelationshipProperty

from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.schema.behavior import IMMUTABLE, OUTPUT_ONLY, behaves
from tablestakes.crud.schema.codec import CodecFor, python_type
from tablestakes.crud.schema.collection import Collection, OwnedRows
from tablestakes.crud.schema.field import fields_of, selected_columns
from tablestakes.crud.schema.item_list import ItemList
from tablestakes.crud.schema.name import Names
from tablestakes.crud.schema.name_list import NameList
from tablestakes.crud.schema.reference import Reference, reference_to


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
        rows=OwnedRows.of(_owner(relationship), (column,), (column,)),
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
    kept = {column for each in fields.values() for column in each.columns}
    columns = selected_columns(fields.values())
    order: tuple[Any, ...] = tuple(relationship.order_by or ()) or tuple(table.primary_key.columns)
    return ItemList(
        name=field.name,
        writable=not behaves(field, OUTPUT_ONLY),
        immutable=behaves(field, IMMUTABLE),
        rows=OwnedRows.of(owner, columns, order),
        message=GetMessageClass(message),
        fields=fields,
        order=order,
        position=_position(table, order[0], {owner, *kept}),
    )


def _position(table: Table, column: Any, taken: set[Column[Any]]) -> Column[Any] | None:
    """Return the column that keeps an item's place: an integer that orders the items and nothing else sets."""
    plain = isinstance(column, Column) and column.table is table and column not in taken
    if not plain or column is table.autoincrement_column or python_type(column) is not int:
        return None
    return cast("Column[Any]", column)
