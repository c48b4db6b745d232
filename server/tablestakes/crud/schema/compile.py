"""What is worked out once, at start, of a resource: its fields, their columns, and the way between them."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from sqlalchemy import ColumnElement, Table, and_, bindparam, inspect
from sqlalchemy.orm import Mapper

from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.schema.behavior import IDENTIFIER, behaves
from tablestakes.crud.schema.collection import Collection, collections_of
from tablestakes.crud.schema.field import Field, fields_of
from tablestakes.crud.schema.name import Names, names_of, type_of
from tablestakes.crud.schema.view import View, view_of
from tablestakes.crud.resource import Resource


@dataclass(frozen=True, eq=False)
class Plan:
    """A resource, compiled.

    Attributes:
        message: Its message class.
        table: Its table.
        names: Its names.
        fields: The fields that columns keep, by name.
        collections: The repeated fields, by name.
        full: The view with everything.
        basic: The view without what is costly to read; the same as `full` where nothing is.
        encoders: What makes a field's value into what is kept, for those where that takes time.
        children: The resources whose names begin with one of this resource's.
    """

    message: type[Message]
    table: Table
    names: Names
    fields: Mapping[str, Field]
    collections: Mapping[str, Collection]
    full: View
    basic: View
    encoders: Mapping[str, Callable[[Any], Awaitable[Any]]]
    children: tuple["Plan", ...] = ()

    @property
    def descriptor(self) -> Descriptor:
        """What the proto says of the message."""
        return cast(Descriptor, self.message.DESCRIPTOR)

    @property
    def parts(self) -> list[Field | Collection]:
        """The fields and the collections, in the message's order."""
        both: dict[str, Field | Collection] = {**self.fields, **self.collections}
        return [both[field.name] for field in self.descriptor.fields if field.name in both]

    @property
    def writable(self) -> frozenset[str]:
        """The names of the fields that callers may set."""
        return frozenset(part.name for part in self.parts if part.writable)

    @property
    def constraints(self) -> dict[str, tuple[str, ...]]:
        """The columns of each constraint and unique index of the table, by its name on the database."""
        named: list[Any] = [*self.table.constraints, *(index for index in self.table.indexes if index.unique)]
        return {str(each.name): tuple(column.name for column in each.columns) for each in named if each.name}

    def has_name(self) -> ColumnElement[bool]:
        """Return the condition for the row of a name, with the parameters that `names.parse` gives."""
        return and_(*(column == bindparam(f"key_{column.name}") for column in self.names.columns))

    async def values(self, message: Message, parts: Iterable[Field | Collection], path: str) -> dict[str, Any]:
        """Return what the columns of some fields are to hold for a message.

        Raises:
            StatusError: INVALID_ARGUMENT, with the path of a field below that of the message.
        """
        values = {}
        for part in parts:
            if isinstance(part, Field):
                value = part.value(message, path)
                encode = self.encoders.get(part.name)
                values[part.column.name] = await encode(value) if encode and value is not None else value
        return values


def compile_plans(resources: Iterable[Resource]) -> dict[str, Plan]:
    """Compile declarations together, for they may refer to each other.

    Returns:
        The plans by the full names of their messages.

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
    plans = {}
    for resource, mapper, own in found:
        if resource.descriptor.full_name in plans:
            raise DeclarationError(f"{resource.descriptor.full_name} is declared twice")
        plans[resource.descriptor.full_name] = _compile(resource, mapper, own, names)
    return {name: replace(plan, children=_children(plan, plans.values())) for name, plan in plans.items()}


def compile_plan(resource: Resource, *others: Resource) -> Plan:
    """Compile one declaration, given the others that it refers to.

    Raises:
        DeclarationError: As `compile_plans` says.
    """
    return compile_plans([resource, *others])[resource.descriptor.full_name]


def _compile(resource: Resource, mapper: Mapper[Any], own: Names, names: Mapping[str, Names]) -> Plan:
    descriptor, table = resource.descriptor, cast(Table, mapper.local_table)
    fields = fields_of(descriptor, table, names)
    collections = collections_of(descriptor, mapper, names)
    for option, chosen in (("detail", resource.detail), ("encode", resource.encode)):
        for name in chosen:
            if name not in fields:
                known = likely(name, fields)
                raise DeclarationError(f"{descriptor.full_name}: {option} names {name}, which is no field; {known}")
    return Plan(
        message=resource.message,
        table=table,
        names=own,
        fields=fields,
        collections=collections,
        full=view_of(resource.message, own, list(fields.values()), list(collections.values())),
        basic=view_of(
            resource.message,
            own,
            [field for field in fields.values() if field.name not in resource.detail],
            list(collections.values()),
        ),
        encoders=resource.encode,
    )


def _children(parent: Plan, plans: Iterable[Plan]) -> tuple[Plan, ...]:
    return tuple(
        plan
        for plan in plans
        if plan.names.parent is not None
        and not plan.names.singleton
        and plan.names.parent.pattern == parent.names.pattern
    )


def _require_identifier(message: Descriptor) -> None:
    found = [(f.name, f.type, f.is_repeated) for f in message.fields if behaves(f, IDENTIFIER)]
    if found != [("name", FieldDescriptor.TYPE_STRING, False)]:
        raise DeclarationError(
            f"{message.full_name} needs one field with the field_behavior IDENTIFIER, `string name`;"
            f" it has {', '.join(name for name, *_ in found) or 'none'}"
        )
