"""The resources of a service as their protos and their tables describe them: what the suite expects of a server.

All of it is read from descriptors and tables, and nothing from what the engine compiles of them: the engine is what
is tested.
"""

import importlib
import pkgutil
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from google.api import resource_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import Column, Table, UniqueConstraint

from tablestakes.crud.resource import Resource, Transition
from tablestakes.crud.schema.behavior import IMMUTABLE, INPUT_ONLY, OUTPUT_ONLY, REQUIRED, behaves, option
from tablestakes.service import Service
from tablestakes.testing.names import NamePattern, pattern_of
from tablestakes.testing.sample import is_list_of_messages, refers_to, settable

Prepare = Callable[[Any, Any], Awaitable[None]]
"""Prepares a service for a sample, given its contract and it, where the proto does not say what it needs."""


# The verbs after which the resource's plural follows.
MANY = ("List", "BatchGet", "Export", "Purge", "BatchCreate", "BatchUpdate", "BatchDelete")


@dataclass(frozen=True, eq=False)
class Facts:
    """A resource as its proto and its table describe it.

    Attributes:
        resource: Its declaration.
    """

    resource: Resource

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of its message."""
        return self.resource.descriptor

    @cached_property
    def table(self) -> Table:
        """Its table."""
        return cast(Table, self.resource.model.__table__)

    @cached_property
    def names(self) -> NamePattern:
        """The pattern of its names."""
        return pattern_of(self.descriptor, self.table)

    @property
    def kind(self) -> str:
        """Its type, by which references name it."""
        return str(option(self.descriptor, resource_pb2.resource).type)

    @cached_property
    def body(self) -> str:
        """The field of a request that holds it: `user`."""
        name = self.descriptor.name
        return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")

    @cached_property
    def package(self) -> Mapping[str, MethodDescriptor]:
        """Every method of its proto package, by name."""
        return {
            method.name: method
            for file in _files(self.resource)
            for service in file.services_by_name.values()
            for method in service.methods
        }

    @cached_property
    def methods(self) -> Mapping[str, MethodDescriptor]:
        """The standard methods that there are, by verb."""
        plural: str = option(self.descriptor, resource_pb2.resource).plural
        names = {verb: verb + self.descriptor.name for verb in ("Get", "Create", "Update", "Delete", "Undelete")}
        names |= {verb: f"{verb}{plural[:1].upper()}{plural[1:]}" for verb in MANY}
        return {verb: self.package[name] for verb, name in names.items() if name in self.package}

    @cached_property
    def transitions(self) -> Mapping[str, Transition]:
        """The methods that change its state and nothing else, by name."""
        return {name: each for name, each in self.resource.methods.items() if isinstance(each, Transition)}

    @property
    def deletes_softly(self) -> bool:
        """Whether its Delete marks it, and Undelete restores it."""
        return "delete_time" in self.descriptor.fields_by_name

    def having(self, *behaviors: int) -> list[str]:
        """Return the names of the fields that callers may set and that have any of some behaviors."""
        return [each.name for each in settable(self.descriptor) if behaves(each, *behaviors)]

    def required(self) -> set[str]:
        """Return the paths of the fields that every Create must set."""
        return {f"{self.body}.{each.name}" for each in self.descriptor.fields if behaves(each, REQUIRED)}

    @property
    def changeable(self) -> list[str]:
        """The names of the fields that an Update may change: all that callers may set but IMMUTABLE ones."""
        return sorted({each.name for each in settable(self.descriptor)}.difference(self.having(IMMUTABLE)))

    @property
    def read_only(self) -> list[str]:
        """The names of the fields that an Update ignores."""
        known = self.descriptor.fields
        return ["name", *(each.name for each in known if behaves(each, OUTPUT_ONLY) or each.name == "etag")]

    def has_default(self, name: str) -> bool:
        """Return whether the column of a field has a default."""
        return any(column.default is not None for column in self.columns(name))

    def columns(self, name: str) -> list[Column[Any]]:
        """Return the columns that keep a field; none where another table does."""
        if name == "etag":
            return [self.table.c.row_version]
        kept = f"{name}_id" if refers_to(self.descriptor.fields_by_name[name]) else name
        if kept in self.table.c:
            return [self.table.c[kept]]
        if self.descriptor.fields_by_name[name].is_repeated:
            return []
        return [column for column in self.table.columns if column.name.startswith(f"{name}_")]

    @cached_property
    def collections(self) -> list[str]:
        """The names of the repeated fields that other tables keep."""
        return [each.name for each in self.descriptor.fields if each.is_repeated and not self.columns(each.name)]

    @cached_property
    def name_lists(self) -> list[FieldDescriptor]:
        """The fields that callers may set to many names."""
        return [each for each in settable(self.descriptor) if each.is_repeated and refers_to(each)]

    @cached_property
    def changing_references(self) -> list[FieldDescriptor]:
        """The fields that hold one name, which an Update may change."""
        fields = settable(self.descriptor)
        return [
            each for each in fields if refers_to(each) and not each.is_repeated and not behaves(each, IMMUTABLE)
        ]

    @cached_property
    def unique(self) -> list[list[str]]:
        """The fields of each unique constraint that callers alone can violate, below one parent."""
        known = {
            column.name: each.name
            for each in settable(self.descriptor)
            if len(self.columns(each.name)) == 1
            for column in self.columns(each.name)
        }
        above = {column.name for column in self.names.columns[:-1]}
        found = []
        constraints: list[Any] = [*self.table.constraints, *self.table.indexes]
        for each in sorted(constraints, key=lambda each: str(each.name)):
            columns = [column.name for column in each.columns]
            unique = isinstance(each, UniqueConstraint) or getattr(each, "unique", False)
            fields = [known[column] for column in columns if column in known]
            if unique and fields and set(columns) <= known.keys() | above:
                found.append(fields)
        return found

    @property
    def request_of_create(self) -> type[Message]:
        """The class of the request that creates one."""
        return GetMessageClass(self.methods["Create"].input_type)

    @cached_property
    def chosen_id(self) -> FieldDescriptor | None:
        """The field of a Create by which callers choose the id, None where the server does."""
        create = self.methods.get("Create")
        return create.input_type.fields_by_name.get(f"{self.body}_id") if create else None

    def asks(self, verb: str, name: str) -> bool:
        """Return whether there is a standard method whose request has a field."""
        return verb in self.methods and name in self.methods[verb].input_type.fields_by_name


@dataclass(frozen=True, eq=False)
class Served:
    """The resources of a service, as their protos and their tables describe them.

    Attributes:
        service: The service.
        preparations: Functions that make a sample possible to create, by the name of its resource.
    """

    service: Service
    preparations: Mapping[str, Prepare] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> Mapping[str, Facts]:
        """The resources by the names of their messages."""
        return {resource.descriptor.name: Facts(resource) for resource in self.service.resources}

    @cached_property
    def by_type(self) -> Mapping[str, Facts]:
        """The resources by their types."""
        return {facts.kind: facts for facts in self.by_name.values()}

    @cached_property
    def by_pattern(self) -> Mapping[str, Facts]:
        """The resources by the patterns of their names."""
        return {facts.names.text: facts for facts in self.by_name.values()}

    def children(self, facts: Facts) -> list[Facts]:
        """Return the resources that are directly below another, without its singletons."""
        below = [each for each in self.by_name.values() if each.names.parent == facts.names.text]
        return [each for each in below if not each.names.singleton]

    def singletons(self, facts: Facts) -> list[Facts]:
        """Return the singletons of a resource."""
        return [
            each for each in self.by_name.values() if each.names.singleton and each.names.parent == facts.names.text
        ]

    def referring(self, facts: Facts) -> list[Facts]:
        """Return the resources that can be created with a reference to another, or to a singleton of it."""
        kinds = {facts.kind, *(each.kind for each in self.singletons(facts))}
        return [
            each
            for each in self.by_name.values()
            if "Create" in each.methods
            and any(refers_to(one) in kinds for _, one in references(each.descriptor, ""))
        ]

    def traits(self, facts: Facts) -> frozenset[str]:
        """Return what a resource has that not every one has, as the tests' marks name it; its verbs too."""
        has = {
            "singleton": facts.names.singleton,
            "parent": bool(facts.names.parent) and not facts.names.singleton,
            "grandparent": facts.names.text.count("{") > 2 and not facts.names.singleton,
            "required": bool(facts.required()),
            "unique": bool(facts.unique),
            "references": any(True for _ in references(facts.descriptor, "")),
            "mutable references": bool(facts.changing_references),
            "names": bool(facts.name_lists),
            "chosen id": facts.chosen_id is not None,
            "server's id": "Create" in facts.methods and facts.chosen_id is None,
            "children": bool(self.children(facts)),
            "force": facts.asks("Delete", "force"),
            "referred to": bool(self.referring(facts)),
            "view": facts.asks("Get", "view"),
            "order_by": facts.asks("List", "order_by"),
            "skip": facts.asks("List", "skip"),
            "total": facts.asks("List", "return_total_size"),
            "filter": facts.asks("List", "filter"),
            "read_mask": facts.asks("Get", "read_mask"),
            "parents": bool(facts.names.parent),
            "transitions": bool(facts.transitions),
            "relationships": bool(relationships(facts)),
            "several types": len(self.by_type) > 1,
            "soft delete": facts.deletes_softly,
            "etag": "etag" in facts.descriptor.fields_by_name,
            **{
                f"{verb} {name}": facts.asks(verb, name)
                for verb in facts.methods
                for name in ("request_id", "validate_only", "etag", "allow_missing")
            },
        }
        return frozenset({*facts.methods, *(trait for trait, had in has.items() if had)})

    def matching(self, needed: set[Any], behaviors: set[Any]) -> list[str]:
        """Return the names of the resources that have some verbs and traits, and fields of some behaviors."""
        return [
            name
            for name, facts in self.by_name.items()
            if needed <= self.traits(facts) and all(facts.having(each) for each in behaviors)
        ]


def references(message: Descriptor, path: str) -> Iterator[tuple[str, FieldDescriptor]]:
    """Yield the fields by which a message and its items refer to others, with their paths in a sample of it."""
    for each in settable(message):
        index = "[0]" if each.is_repeated else ""
        if refers_to(each):
            yield f"{path}.{each.name}{index}", each
        elif is_list_of_messages(each) and each.message_type is not None:
            yield from references(each.message_type, f"{path}.{each.name}{index}")


def relationships(facts: Facts) -> list[str]:
    """Return the names of the relationships of a resource's model."""
    return list(facts.resource.model.__mapper__.relationships.keys())


def is_told(field: FieldDescriptor) -> bool:
    """Return whether a field is ever returned."""
    return not behaves(field, INPUT_ONLY)


def _files(resource: Resource) -> list[FileDescriptor]:
    """Return the files of a resource's proto package, of which its services may have one of their own."""
    found = {resource.descriptor.file.name: resource.descriptor.file}
    package = resource.message.__module__.rpartition(".")[0]
    for module in pkgutil.iter_modules(getattr(sys.modules.get(package), "__path__", ())):
        if module.name.endswith("_pb2"):
            file = importlib.import_module(f"{package}.{module.name}").DESCRIPTOR
            if file.package == resource.descriptor.file.package:
                found[file.name] = file
    return list(found.values())
