"""A resource, compiled at start: its fields, their columns, and the way between messages and rows."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from sqlalchemy import (
    Column,
    Connection,
    Index,
    Row,
    Table,
    UniqueConstraint,
    inspect,
    select,
)
from sqlalchemy.orm import Mapper

from tablestakes.columns import DELETE_TIME
from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.key import ANY_ID, Key
from tablestakes.crud.resource import Resource
from tablestakes.crud.schema.audit import CREATE_TIME, UPDATE_TIME, Audit, audit_of
from tablestakes.crud.schema.behavior import IDENTIFIER, behaves
from tablestakes.crud.schema.codec import CodecFor
from tablestakes.crud.schema.collection import Collection
from tablestakes.crud.schema.deletion import is_of_live
from tablestakes.crud.schema.etag import ETAG
from tablestakes.crud.schema.field import Field, Fields, NestedField, fields_of
from tablestakes.crud.schema.item_list import ItemList
from tablestakes.crud.schema.many import Many
from tablestakes.crud.schema.mask import WHOLE, Mask
from tablestakes.crud.schema.name import Names, names_of, type_of
from tablestakes.crud.schema.reference import existing
from tablestakes.crud.schema.relationship import collections_of
from tablestakes.crud.schema.removal import Removal
from tablestakes.crud.schema.rows import Rows
from tablestakes.crud.schema.singleton import Singleton, singleton_of
from tablestakes.crud.schema.view import Part, View, Views
from tablestakes.crud.session import Session
from tablestakes.crud.written import Kind, OnWrite, Written


@dataclass(frozen=True, eq=False, repr=False)
class Schema:
    """A resource, compiled.

    Attributes:
        message: Its message class.
        table: Its table.
        names: Its names.
        audit: Its audit columns.
        fields: The fields that columns keep, by name.
        collections: The repeated fields that other tables keep, by name.
        views: Its views, by mask.
        full: The view with everything.
        basic: The view without the fields that are costly to read; the same as `full` where there are none.
        transforms: Functions from a field's value to the value that is kept, by the field's name.
        singleton: How the row of a singleton is read and made; None for any other resource.
        served: Every resource of the service, by the full name of its message.
        descendants: The resources whose names begin with one of this resource's, at any depth, deepest first;
            singletons are not among them.
        default_order: The order of a List that asks for none, in the form of `order_by`; "" for that of the keys.
        on_write: Functions that are told of each write.
    """

    message: type[Message]
    table: Table
    names: Names
    audit: Audit
    fields: Fields
    collections: Mapping[str, Collection]
    views: Views
    full: View
    basic: View
    transforms: Mapping[str, Callable[[Any], Awaitable[Any]]]
    singleton: Singleton | None
    served: "Mapping[str, Schema]"
    descendants: tuple["Schema", ...] = ()
    default_order: str = ""
    on_write: tuple[OnWrite, ...] = ()

    def __repr__(self) -> str:
        # The default goes through every resource of the service, which takes a traceback with variables seconds.
        return f"Schema({self.descriptor.full_name})"

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the message."""
        return cast(Descriptor, self.message.DESCRIPTOR)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The fields and the collections, in the message's order."""
        both: dict[str, Part] = {**self.fields, **self.collections}
        return tuple(both[field.name] for field in self.descriptor.fields if field.name in both)

    @cached_property
    def writable(self) -> frozenset[str]:
        """The names of the fields that callers may set."""
        return frozenset(part.name for part in self.parts if part.writable)

    def columns_of(self, constraint: str) -> tuple[str, ...]:
        """Return the names of the columns of a constraint or unique index, by the name that the database tells.

        A distributed PostgreSQL adds the number of the shard to it: `users_pkey_102016`.
        """
        base, _, shard = constraint.rpartition("_")
        return self._constraints.get(constraint) or self._constraints.get(base if shard.isdigit() else "", ())

    @cached_property
    def _constraints(self) -> dict[str, tuple[str, ...]]:
        named: list[Any] = [*self.table.constraints, *(index for index in self.table.indexes if index.unique)]
        return {str(each.name): tuple(column.name for column in each.columns) for each in named if each.name}

    @cached_property
    def unique(self) -> tuple[tuple[str, ...], ...]:
        """The names of the columns whose values no two rows share, together."""
        constraints = [each for each in self.table.constraints if isinstance(each, UniqueConstraint)]
        # An index of some rows alone, or of an expression, says less than that: see `unique_among_live`.
        indexes = [
            each
            for each in self.table.indexes
            if each.unique and len(each.columns) == len(each.expressions) and not _is_partial(each)
        ]
        found: list[Any] = [self.table.primary_key, *constraints, *indexes]
        return tuple(sorted({tuple(column.name for column in each.columns) for each in found}))

    @cached_property
    def unique_among_live(self) -> tuple[tuple[str, ...], ...]:
        """The names of the columns whose values no two rows share that are not deleted softly."""
        found = [each for each in self.table.indexes if is_of_live(each)]
        return tuple(sorted(tuple(column.name for column in each.columns) for each in found))

    @cached_property
    def removal(self) -> Removal | None:
        """How it is deleted softly, restored and purged; None where it is deleted for good."""
        return Removal(self) if DELETE_TIME in self.fields else None

    @cached_property
    def rows(self) -> Rows:
        """Its rows: the statements that read and write them."""
        return Rows(self)

    @cached_property
    def many(self) -> Many:
        """Its rows, many at once."""
        return Many(self)

    def wrote(self, session: Session, kind: Kind, key: Key, row: Row[Any] | None = None) -> None:
        """Tell who listens of a write; a function that writes rows by statements of its own calls this itself.

        Args:
            session: The session of the write.
            kind: What was done.
            key: The ids in the resource's name.
            row: The row as the full view reads it; None where it is gone.
        """
        if self.on_write:
            session.wrote(self.on_write, Written(self.descriptor.full_name, kind, key, row))

    @cached_property
    def version(self) -> Column[Any] | None:
        """The column of the version that the etag is made of, None where the resource has no etag."""
        field = self.fields.get(ETAG)
        return field.column if isinstance(field, Field) else None

    def has_parent(self, connection: Connection, key: Key, *, deleted: bool = False) -> bool:
        """Return whether the parent of names exists; with wildcards, whether any or the one above them does.

        Args:
            connection: The connection to ask on.
            key: The ids in the parent's name, of which some may be ANY_ID, but not all.
            deleted: Whether one that is deleted softly counts too: what is below it can be read.
        """
        given = [index for index, id_ in enumerate(key) if id_ is not ANY_ID]
        above = self.names.parent
        while above is not None and len(above.columns) > given[-1] + 1:
            above = above.parent
        for each in self.served.values():
            if above is not None and each.names.pattern == above.pattern and not each.names.singleton:
                # All ids together: a book may exist, and not on this shelf.
                conditions = [each.names.equals(index) for index in given]
                conditions += [] if deleted else each.names.live
                found = select(1).select_from(each.table).where(*conditions).limit(1)
                return connection.execute(found, each.names.bind(key)).first() is not None
        columns = self.names.columns
        return all(existing(connection, columns[index], [key[index]], deleted=deleted) for index in given)

    def of(self, message: type[Message]) -> "Schema":
        """Return another resource of the same service, by its message class, for a function that works on several.

        Raises:
            DeclarationError: The service has no such resource.
        """
        name = cast(Descriptor, message.DESCRIPTOR).full_name
        if name not in self.served:
            raise DeclarationError(f"{name} is no resource of the service; {likely(name, self.served)}")
        return self.served[name]

    def field(self, name: str) -> Field:
        """Return a field that one column keeps, for a function that serves an RPC.

        Raises:
            DeclarationError: There is none of the name.
        """
        found = self.fields.get(name)
        if not isinstance(found, Field):
            raise DeclarationError(f"{self.descriptor.full_name} has no field {name}; {likely(name, self.fields)}")
        return found

    def items(self, name: str) -> ItemList:
        """Return a repeated field that holds messages, each a row of another table.

        Raises:
            DeclarationError: There is none of the name.
        """
        found = self.collections.get(name)
        if not isinstance(found, ItemList):
            known = likely(name, self.collections or ["none"])
            raise DeclarationError(f"{self.descriptor.full_name} has no items {name}; {known}")
        return found

    async def values(self, message: Message, parts: Iterable[Field | NestedField], path: str) -> dict[str, Any]:
        """Return the values of the columns of some fields for a message, by the columns' names.

        Raises:
            StatusError: INVALID_ARGUMENT, with the path of a field below that of the message.
        """
        values: dict[str, Any] = {}
        for part in parts:
            transform = self.transforms.get(part.name)
            kept = part.values(message, path)
            if transform is not None:
                kept = {name: value if value is None else await transform(value) for name, value in kept.items()}
            values |= kept
        return values


def compile_schemas(resources: Iterable[Resource], codecs: Sequence[CodecFor] = ()) -> dict[str, Schema]:
    """Compile declarations together, for they may refer to each other.

    Args:
        resources: The declarations.
        codecs: The service's own codecs.

    Returns:
        The schemas by the full names of their messages.

    Raises:
        DeclarationError: A message, its model and the proto's options do not fit together.
    """
    found = []
    for resource in resources:
        mapper = inspect(resource.model, raiseerr=False)
        table = getattr(mapper, "local_table", None)
        if not isinstance(table, Table):
            raise DeclarationError(f"{resource.model.__name__} is not mapped to a table")
        _require_identifier(resource.descriptor)
        found.append((resource, cast("Mapper[Any]", mapper), names_of(resource.descriptor, table)))
    names = {type_of(resource.descriptor): own for resource, _, own in found}
    schemas: dict[str, Schema] = {}
    for resource, mapper, own in found:
        if resource.descriptor.full_name in schemas:
            raise DeclarationError(f"{resource.descriptor.full_name} is declared twice")
        schemas[resource.descriptor.full_name] = _compile(resource, mapper, own, names, codecs, schemas)
    # Only now is every resource known that may be below another. Deepest first, so that each knows those below it.
    for name, schema in sorted(schemas.items(), key=lambda each: -each[1].names.pattern.count("/")):
        schemas[name] = replace(schema, descendants=_descendants(schema, schemas.values()))
    return schemas


def compile_schema(resource: Resource, *others: Resource) -> Schema:
    """Compile one declaration, given the others that it refers to.

    Raises:
        DeclarationError: As `compile_schemas` says.
    """
    return compile_schemas([resource, *others])[resource.descriptor.full_name]


def _compile(
    resource: Resource,
    mapper: Mapper[Any],
    own: Names,
    names: Mapping[str, Names],
    codecs: Sequence[CodecFor],
    served: Mapping[str, Schema],
) -> Schema:
    descriptor, table = resource.descriptor, cast(Table, mapper.local_table)
    _require_parent_key(descriptor, table, own)
    audit = audit_of(table)
    fields = fields_of(descriptor, table, names, codecs)
    for name in (CREATE_TIME, UPDATE_TIME):
        if name in fields and name in audit.columns and fields[name].writable:
            raise DeclarationError(f"{descriptor.full_name}.{name} must be OUTPUT_ONLY: the engine fills it")
    collections = collections_of(descriptor, mapper, names, codecs)
    for option, chosen in (("full_view_only", resource.full_view_only), ("transform", resource.transform)):
        for name in chosen:
            if not isinstance(fields.get(name), Field):
                known = likely(name, fields)
                raise DeclarationError(f"{descriptor.full_name}: {option} names {name}, which is no field; {known}")
    views = Views(resource.message, own, [*fields.values(), *collections.values()])
    costly = resource.full_view_only
    cheap = Mask.of_fields(field.name for field in descriptor.fields if field.name not in costly)
    return Schema(
        message=resource.message,
        table=table,
        names=own,
        audit=audit,
        fields=fields,
        collections=collections,
        views=views,
        full=views.of(WHOLE),
        basic=views.of(cheap if costly else WHOLE),
        transforms=resource.transform,
        singleton=singleton_of(descriptor, table, own, audit) if own.singleton else None,
        served=served,
        default_order=resource.default_order,
        on_write=resource.on_write,
    )


def _require_parent_key(message: Descriptor, table: Table, names: Names) -> None:
    """Require a foreign key of all ids of a parent: without it a child could hang below another's parent."""
    parent = names.parent
    if parent is None or len(parent.columns) == 1:
        return
    ids = {column.name for column in parent.columns}
    if not any(ids <= set(constraint.column_keys) for constraint in table.foreign_key_constraints):
        together = ", ".join(column.name for column in parent.columns)
        raise DeclarationError(
            f"{message.full_name}: {table.name} needs one foreign key of ({together}), for a name below"
            f" {parent.pattern} has all of them"
        )


def _descendants(ancestor: Schema, schemas: Iterable[Schema]) -> tuple[Schema, ...]:
    below = [each for each in schemas if each.names.is_below(ancestor.names) and not each.names.singleton]
    return tuple(sorted(below, key=lambda each: -len(each.names.columns)))


def _is_partial(index: Index) -> bool:
    return any(options.get("where") is not None for options in index.dialect_options.values())


def _require_identifier(message: Descriptor) -> None:
    found = [(f.name, f.type, f.is_repeated) for f in message.fields if behaves(f, IDENTIFIER)]
    if found != [("name", FieldDescriptor.TYPE_STRING, False)]:
        raise DeclarationError(
            f"{message.full_name} needs one field with the field_behavior IDENTIFIER, `string name`;"
            f" it has {', '.join(name for name, *_ in found) or 'none'}"
        )
