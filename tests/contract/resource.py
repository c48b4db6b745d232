"""One served resource as the contract suite sees it: its messages, its stub and its standard methods."""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message_factory import GetMessageClass

from server.api import RESOURCES
from server.crud import Resource
from server.crud.behavior import IDENTIFIER, IMMUTABLE, INPUT_ONLY, OUTPUT_ONLY, behaves
from server.crud.name import plural_of
from server.crud.plan import Plan, compile_plan
from tests.contract.sample import sample
from tests.gadgets import GADGET

SERVED = {resource.descriptor.name: resource for resource in (*RESOURCES, GADGET)}


@dataclass(frozen=True)
class Contract:
    """A resource and a connection to a server that serves it."""

    resource: Resource
    channel: grpc.aio.Channel

    @cached_property
    def plan(self) -> Plan:
        """The resource, compiled; for what its table says."""
        return compile_plan(self.resource)

    @property
    def body(self) -> str:
        """The field of a request that holds the resource: `user`."""
        name = self.resource.descriptor.name
        return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")

    @property
    def changeable(self) -> list[str]:
        """The names of the fields that an Update may change: all that callers may set but IMMUTABLE ones."""
        return sorted(self.plan.writable.difference(self.having(IMMUTABLE)))

    def having(self, *behaviors: int) -> list[str]:
        """Return the names of the fields that callers may set and that have any of some behaviors."""
        return fields_with(self.resource, *behaviors)

    def shown(self, sent: Any) -> Any:
        """Return a resource as the server gives it back: without its INPUT_ONLY fields."""
        expected = type(sent)()
        expected.CopyFrom(sent)
        for field in self.having(INPUT_ONLY):
            expected.ClearField(field)
        return expected

    def change_of(self, stored: Any) -> Any:
        """Return a sample with the name of a stored resource."""
        change = self.sample()
        change.name = stored.name
        return change

    def replacement_of(self, stored: Any) -> Any:
        """Return a change of a stored resource that leaves its IMMUTABLE fields what they are."""
        change = self.change_of(stored)
        copy_fields(stored, change, self.having(IMMUTABLE))
        return change

    def sample(self) -> Any:
        """Return a valid resource that is not on the server."""
        return sample(self.resource.message)

    async def create(self, message: Any = None) -> Any:
        """Create a resource, a sample where none is given, and return what the server said."""
        return await self.call("Create", **{self.body: message if message is not None else self.sample()})

    async def update(self, message: Any, *paths: str) -> Any:
        """Update a resource by a mask, or without one."""
        return await self.call(
            "Update", **{self.body: message}, **({"update_mask": {"paths": paths}} if paths else {})
        )

    async def get(self, name: str) -> Any:
        """Get a resource."""
        return await self.call("Get", name=name)

    async def list(self, **fields: Any) -> tuple[list[Any], str]:
        """Return a page's resources and the token of the next one."""
        response = await self.call("List", **fields)
        page = next(field.name for field in response.DESCRIPTOR.fields if field.message_type)
        return list(getattr(response, page)), response.next_page_token

    async def call(self, verb: str, **fields: Any) -> Any:
        """Call a standard method through the generated stub."""
        method = methods_of(self.resource)[verb]
        stub = _stub(method, self.channel)
        return await getattr(stub, method.name)(GetMessageClass(method.input_type)(**fields), timeout=10)


def fields_with(resource: Resource, *behaviors: int) -> list[str]:
    """Return the names of a resource's fields that callers may set and that have any of some behaviors."""
    return [
        field.name
        for field in resource.descriptor.fields
        if behaves(field, *behaviors) and not behaves(field, IDENTIFIER, OUTPUT_ONLY)
    ]


def copy_fields(source: Any, target: Any, fields: Iterable[str]) -> None:
    """Make some fields of a message what they are in another, not set where they are not."""
    for field in fields:
        target.ClearField(field)
    FieldMask(paths=fields).MergeMessage(source, target)


def methods_of(resource: Resource) -> Mapping[str, MethodDescriptor]:
    """Return the standard methods that a resource's service has, by verb."""
    names = {verb: verb + resource.descriptor.name for verb in ("Get", "Create", "Update", "Delete")}
    names["List"] = "List" + plural_of(resource.descriptor)
    methods = {
        method.name: method
        for served in SERVED.values()
        for service in served.descriptor.file.services_by_name.values()
        for method in service.methods
    }
    return {verb: methods[name] for verb, name in names.items() if name in methods}


def _stub(method: MethodDescriptor, channel: grpc.aio.Channel) -> Any:
    service = method.containing_service
    module = importlib.import_module(service.file.name.removesuffix(".proto").replace("/", ".") + "_pb2_grpc")
    return getattr(module, f"{service.name}Stub")(channel)
