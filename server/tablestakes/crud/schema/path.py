"""Dotted paths of a resource (`author.username`), resolved to the column, or the rows, that they lead to.

Filters, orders and masks name fields in this way. A path goes on through a message that columns keep, through a
reference to the resource that it names, and through a repeated field to each of its items.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    FromClause,
    Index,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    exists,
    select,
)

from tablestakes.crud.schema.codec import plain
from tablestakes.crud.schema.deletion import is_of_live
from tablestakes.crud.schema.field import Field, Fields, NestedField
from tablestakes.crud.schema.item_list import ItemList
from tablestakes.crud.schema.name import Names
from tablestakes.crud.schema.name_list import NameList
from tablestakes.crud.schema.reference import Reference
from tablestakes.crud.schema.schema import Schema

Row = Callable[[Column[Any]], ColumnElement[Any]]
"""A row that a condition is about: given a column of its table, it returns the column in the statement."""

NAME = "name"

PARENT = "parent"
"""The name of the resource above one, which is in no field of it: its own name begins with it."""


class PathError(Exception):
    """A path leads to no field.

    Attributes:
        index: The step of the path that is at fault, counted from 0.
        owner: The message that has no such field, or the field that has nothing below it.
        choices: The fields that there are instead; empty where there is nothing below.
    """

    def __init__(self, index: int, owner: str, choices: Iterable[str] = ()) -> None:
        super().__init__(owner)
        self.index = index
        self.owner = owner
        self.choices = tuple(choices)


@dataclass(frozen=True)
class Hop:
    """A step from a row to the rows of another table: those whose `target` equals `source`.

    Attributes:
        source: A column of the row's table.
        target: A column of the table that is reached.
        many: Whether more than one row may be reached.
    """

    source: Column[Any]
    target: Column[Any]
    many: bool


@dataclass(frozen=True)
class Document:
    """A place in a JSON column.

    Attributes:
        field: The field that the column keeps.
        names: The fields of messages on the way to the place.
        key: The key of a map, where the place is one of its values.
    """

    field: Field
    names: tuple[str, ...] = ()
    key: str | None = None


@dataclass(frozen=True, eq=False)
class Path:
    """A field of a resource, or of what it refers to.

    Attributes:
        schema: The resource that has the field, or whose item has it.
        hops: The tables on the way.
        field: The field's descriptor; of a map's value, that of `value` in the map's entries.
        part: What keeps it; None for a resource's name, and inside a JSON column.
        names: The names of the resource, where the field is its name.
        reference: The resources that a name in the field is of.
        document: Its place in a JSON column.
        nested: Whether the path goes through a message that is no resource.
        unset: Whether NULL in the column says that the message around it is not set.
        trail: The field of each step.
    """

    schema: Schema
    hops: tuple[Hop, ...]
    field: FieldDescriptor
    part: Field | NestedField | ItemList | NameList | None = None
    names: Names | None = None
    reference: Reference | None = None
    document: Document | None = None
    nested: bool = False
    unset: bool = False
    trail: tuple[FieldDescriptor, ...] = ()

    @property
    def many(self) -> bool:
        """Whether a row may have several values of it: the path goes through a repeated field, or ends in one."""
        return any(hop.many for hop in self.hops) or self.field.is_repeated

    @property
    def column(self) -> Column[Any] | None:
        """The column that keeps the field, or each name of a list; None where it is not one column."""
        match self.part:
            case Field(column=column) | NameList(column=column):
                return column
        return None

    @cached_property
    def indexed(self) -> bool:
        """Whether indexes find rows by the field: its column is the first of one, and so is that of each hop."""
        if self.document is not None or isinstance(self.part, NestedField):
            return False
        column = self.names.id_column if self.names is not None else self.column
        return all(is_indexed(each) for each in (column, *(hop.target for hop in self.hops)) if each is not None)


@lru_cache(maxsize=4096)
def resolve(schema: Schema, steps: tuple[str, ...]) -> Path:
    """Return the field of a resource that a path leads to.

    A field that is never returned (INPUT_ONLY) is none: nobody is to learn of it by asking for what has it.

    Args:
        schema: The resource.
        steps: The names of the fields: `("author", "username")`.

    Raises:
        PathError: There is no such field.
    """
    found = _of_resource(schema, (), steps[0], 0)
    trail = [found.field]
    for index, step in enumerate(steps[1:], start=1):
        found = _below(found, step, index)
        trail.append(found.field)
    return replace(found, trail=tuple(trail))


def reached(hops: Sequence[Hop], row: Row, condition: Callable[[Row], ColumnElement[bool]]) -> ColumnElement[bool]:
    """Return the condition that a row meets a condition, or that one of those which hops reach from it does.

    Each hop is an EXISTS: it is true once, however many rows it reaches, where a join would double the row. It is
    never NULL.

    Args:
        hops: The hops.
        row: The row.
        condition: Returns the condition for a row of the last table.
    """
    return _reached(tuple(hops), row, condition, 0)


def _reached(
    hops: tuple[Hop, ...], row: Row, condition: Callable[[Row], ColumnElement[bool]], depth: int
) -> ColumnElement[bool]:
    if not hops:
        return condition(row)
    table = _alias(hops[0].target.table, depth)

    def below(column: Column[Any]) -> ColumnElement[Any]:
        return table.c[column.key]

    joined = below(hops[0].target) == row(hops[0].source)
    met = _reached(hops[1:], below, condition, depth + 1)
    return exists(select(1).select_from(table).where(joined, met))


@cache
def _alias(table: FromClause, _depth: int) -> FromClause:
    """Return the alias of a table at a depth: a resource may refer to its own kind.

    It is made once, for an alias has an object for each column. Two EXISTS beside each other may have the same.
    """
    return table.alias()


def own_row(column: Column[Any]) -> ColumnElement[Any]:
    """Return a column as it is: the row of a statement that selects from the resource's own table."""
    return column


def is_indexed(column: Column[Any]) -> bool:
    """Return whether a column is the first of an index, a unique constraint or the primary key of its table."""
    table: Table = column.table
    constraints = (each for each in table.constraints if isinstance(each, PrimaryKeyConstraint | UniqueConstraint))
    found: list[Any] = [*constraints, *(index for index in table.indexes if _is_whole(index))]
    return any(next(iter(each.columns), None) is column for each in found)


def _is_whole(index: Index) -> bool:
    """Return whether an index has every row, by columns: one of some rows, or of an expression, finds no others.

    One of the rows that are not deleted softly has all that a List has, unless it asks for deleted ones too.
    """
    partial = any(options.get("where") is not None for options in index.dialect_options.values())
    return len(index.columns) == len(index.expressions) and (not partial or is_of_live(index))


def _of_resource(schema: Schema, hops: tuple[Hop, ...], step: str, index: int) -> Path:
    if step == NAME:
        return Path(schema, hops, schema.descriptor.fields_by_name[NAME], names=schema.names)
    if step == PARENT and schema.names.parent is not None and PARENT not in schema.descriptor.fields_by_name:
        return Path(schema, hops, schema.descriptor.fields_by_name[NAME], names=schema.names.parent)
    part = schema.collections.get(step)
    if isinstance(part, NameList | ItemList) and part.readable:
        hop = Hop(schema.names.id_column, part.rows.owner, many=True)
        reference = part.reference if isinstance(part, NameList) else None
        field = schema.descriptor.fields_by_name[step]
        return Path(schema, (*hops, hop), field, part=part, reference=reference)
    start = Path(schema, hops, schema.descriptor.fields_by_name[NAME])
    return _of_fields(start, schema.descriptor, schema.fields, step, index, (NAME, *schema.collections))


def _of_fields(
    path: Path, message: Descriptor, fields: Fields, step: str, index: int, also: Sequence[str] = ()
) -> Path:
    """Return a field of a message that columns keep, in the row that a path has reached."""
    part = fields.get(step)
    if part is None or not part.readable:
        raise PathError(index, message.name, [*also, *(name for name, each in fields.items() if each.readable)])
    is_document = isinstance(part, Field) and isinstance(plain(part.column.type), JSON)
    return replace(
        path,
        field=message.fields_by_name[step],
        part=part,
        reference=part.reference if isinstance(part, Field) else None,
        document=Document(part) if isinstance(part, Field) and is_document else None,
    )


def _below(path: Path, step: str, index: int) -> Path:
    """Return the field that one more step leads to."""
    if isinstance(path.part, NestedField | ItemList) and path.field.message_type is not None:
        around = replace(path, nested=True, unset=path.unset or isinstance(path.part, NestedField))
        return _of_fields(around, path.field.message_type, path.part.fields, step, index)
    if path.reference is not None and path.column is not None:
        target = _target(path.schema, path.reference, path.column)
        if target is not None:
            hop = Hop(path.column, target.names.id_column, many=False)
            return replace(_of_resource(target, (*path.hops, hop), step, index), nested=path.nested)
    if path.names is not None and path.names is path.schema.names.parent:
        for each in path.schema.served.values():
            if each.names.pattern == path.names.pattern and not each.names.singleton:
                hop = Hop(path.names.id_column, each.names.id_column, many=False)
                return _of_resource(each, (*path.hops, hop), step, index)
    if path.document is not None:
        return _in_document(path, path.document, step, index)
    raise PathError(index, path.field.name)


def _target(schema: Schema, reference: Reference, column: Column[Any]) -> Schema | None:
    """Return the resource that a reference leads to; None where its foreign key is to the table of another."""
    for each in schema.served.values():
        if each.names.pattern == reference.names.pattern:
            keys = [key.column for key in column.foreign_keys]
            return each if keys == [each.names.id_column] else None
    return None


def _in_document(path: Path, place: Document, step: str, index: int) -> Path:
    """Return a field of a message that a JSON column keeps, or a value of a map in it."""
    message = path.field.message_type
    if message is None or place.key is not None:
        raise PathError(index, path.field.name)
    if message.GetOptions().map_entry:
        below = replace(place, key=step)
        return replace(path, field=message.fields_by_name["value"], part=None, document=below, nested=True)
    if path.field.is_repeated or message.full_name.startswith("google.protobuf."):
        # The JSON of a Struct, or of a Timestamp, is not that of its fields.
        raise PathError(index, path.field.name)
    if step not in message.fields_by_name:
        raise PathError(index, message.name, [field.name for field in message.fields])
    below = replace(place, names=(*place.names, step))
    return replace(path, field=message.fields_by_name[step], part=None, document=below, nested=True)
