"""One served resource as the contract suite uses it: its messages, its stub and its standard methods."""

import importlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import grpc
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message_factory import GetMessageClass

from tablestakes.crud.resource import Resource
from tablestakes.crud.schema.behavior import IMMUTABLE, INPUT_ONLY, REQUIRED, behaves
from tablestakes.testing.names import NamePattern
from tablestakes.testing.sample import is_list_of_messages, is_map, refers_to, sample, settable
from tablestakes.testing.served import Facts, Served, is_told

MAX_PAGE = 1000
CALL_SECONDS = 10
DECIMAL = "google.type.Decimal"


@dataclass(frozen=True)
class Contract:
    """A resource and a connection to a server that serves it.

    Attributes:
        served: The resources of the service.
        facts: The resource.
        channel: The connection.
        parent: The name of what resources are created below and listed of; "" for a new one each time, or where
            they are at the top.
    """

    served: Served
    facts: Facts
    channel: grpc.aio.Channel
    parent: str = ""

    def of(self, resource: Facts | str, parent: str = "") -> "Contract":
        """Return the contract of another resource on the same server, by its facts or the name of its message."""
        facts = self.served.by_name[resource] if isinstance(resource, str) else resource
        return Contract(self.served, facts, self.channel, parent)

    def under(self, parent: str) -> "Contract":
        """Return the contract of the same resource below another parent."""
        return replace(self, parent=parent)

    @property
    def resource(self) -> Resource:
        """The resource's declaration."""
        return self.facts.resource

    @property
    def names(self) -> NamePattern:
        """The pattern of its names."""
        return self.facts.names

    @property
    def body(self) -> str:
        """The field of a request that holds the resource: `user`."""
        return self.facts.body

    @property
    def above(self) -> "Contract":
        """The contract of the resource that this one is below of."""
        return self.of(self.served.by_pattern[self.names.parent])

    @property
    def changeable(self) -> list[str]:
        """The names of the fields that an Update may change: all that callers may set but IMMUTABLE ones."""
        return self.facts.changeable

    @property
    def nothing(self) -> str:
        """The name of a resource that does not exist."""
        return self.names.nothing

    def named(self, id_: object) -> str:
        """Return the name in which every id is the same."""
        return self.names.format((id_,) * len(self.names.columns))

    def below(self, parent: str) -> str:
        """Return the name of a parent's singleton."""
        return f"{parent}/{self.names.text.rpartition('/')[2]}"

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Return names in the order of a list."""
        return sorted(names, key=self.names.order)

    def having(self, *behaviors: int) -> list[str]:
        """Return the names of the fields that callers may set and that have any of some behaviors."""
        return self.facts.having(*behaviors)

    def shown(self, sent: Any) -> Any:
        """Return a resource as the server gives it back: without its INPUT_ONLY fields."""
        return without(sent, *self.having(INPUT_ONLY))

    async def change_of(self, stored: Any) -> Any:
        """Return a sample with the name of a stored resource."""
        change = await self.sample()
        change.name = stored.name
        return change

    async def replacement_of(self, stored: Any) -> Any:
        """Return a change of a stored resource that leaves its IMMUTABLE fields what they are."""
        change = await self.change_of(stored)
        copy_fields(stored, change, self.having(IMMUTABLE))
        return change

    async def sample(self, given: Mapping[str, str] | None = None, *, plain: bool = False) -> Any:
        """Return a valid resource that is not on the server; what it refers to is.

        Args:
            given: The names of resources to refer to, by their types; each is used once, and any other reference
                is to a new resource.
            plain: Whether to leave out what is INPUT_ONLY, and references that are not REQUIRED.
        """
        fields = [
            field.name
            for field in settable(self.facts.descriptor)
            if not plain or behaves(field, REQUIRED) or not (refers_to(field) or behaves(field, INPUT_ONLY))
        ]
        made = sample(self.resource.message, fields)
        await self._refer(made, dict(given or {}))
        if prepare := self.served.preparations.get(self.facts.descriptor.name):
            await prepare(self, made)
        return made

    async def _refer(self, message: Any, given: dict[str, str]) -> None:
        for field in settable(message.DESCRIPTOR):
            value = getattr(message, field.name)
            if kind := refers_to(field):
                names = [
                    given.pop(kind, "") or (await self.of(self.served.by_type[kind]).create(plain=True)).name
                    for _ in (value if field.is_repeated else filter(None, [value]))
                ]
                if field.is_repeated:
                    value[:] = names
                elif names:
                    setattr(message, field.name, names[0])
            elif is_list_of_messages(field):
                for item in value:
                    await self._refer(item, given)

    async def create(self, message: Any = None, *, plain: bool = False, **fields: Any) -> Any:
        """Create a resource, and return what the server said; a singleton is there once its parent is.

        Args:
            message: The resource; None for a sample.
            plain: Whether the sample is to be a plain one.
            fields: Further fields of the request; it has what it needs without them.
        """
        if self.names.singleton:
            return await self.get(self.below(await self.new_parent()))
        sent = message if message is not None else await self.sample(plain=plain)
        return await self.call("Create", **{self.body: sent}, **(await self.beside(**fields)))

    async def several(self, count: int) -> list[str]:
        """Create some plain resources, and return their names in the order of a list."""
        return self.in_order([(await self.create(plain=True)).name for _ in range(count)])

    async def beside(self, **fields: Any) -> dict[str, Any]:
        """Return what a Create needs beside the resource: a parent, an id, and any fields given."""
        needed: dict[str, Any] = {}
        if self.names.parent and "parent" not in fields:
            needed["parent"] = self.parent or await self.new_parent()
        chosen = self.facts.chosen_id
        if chosen is not None and chosen.name not in fields:
            request = self.facts.request_of_create
            kind = self.names.kinds[-1]
            needed[chosen.name] = (
                str(uuid4()) if kind is UUID else getattr(sample(request, [chosen.name]), chosen.name)
            )
        return needed | fields

    async def new_parent(self) -> str:
        """Create another parent, and return its name."""
        name: str = (await self.above.create(plain=True)).name
        return name

    async def update(self, message: Any, *paths: str, **fields: Any) -> Any:
        """Update a resource by a mask, or without one."""
        mask = {"update_mask": {"paths": paths}} if paths else {}
        return await self.call("Update", **{self.body: message}, **mask, **fields)

    async def get(self, name: str, **fields: Any) -> Any:
        """Get a resource."""
        return await self.call("Get", name=name, **fields)

    async def batch(self, names: Iterable[str], **fields: Any) -> list[Any]:
        """Return what BatchGet answers for some names."""
        return _resources(await self.call("BatchGet", names=names, **fields))

    async def export(self, **fields: Any) -> list[tuple[list[Any], str]]:
        """Return the resources of each response of an export, and its token."""
        if self.parent:
            fields.setdefault("parent", self.parent)
        method = self.facts.methods["Export"]
        request = GetMessageClass(method.input_type)(**fields)
        call = getattr(_stub(method, self.channel), method.name)(request, timeout=CALL_SECONDS)
        return [(_resources(response), response.next_page_token) async for response in call]

    async def page(self, **fields: Any) -> tuple[list[Any], str]:
        """Return a page's resources and the token of the next one."""
        if self.parent:
            fields.setdefault("parent", self.parent)
        response = await self.call("List", **fields)
        return _resources(response), response.next_page_token

    async def pages(self, **fields: Any) -> AsyncIterator[list[Any]]:
        """Yield every page's resources, from a token in the fields on or else from the start."""
        while True:
            page, token = await self.page(**fields)
            yield page
            if not token:
                return
            fields["page_token"] = token

    async def everything(self, **fields: Any) -> list[Any]:
        """Return the resources of every page."""
        return [each async for page in self.pages(page_size=MAX_PAGE, **fields) for each in page]

    async def token_after(self, name: str) -> str:
        """Return the token of the page that begins after a resource."""
        token = ""
        while True:
            page, following = await self.page(page_size=MAX_PAGE, page_token=token)
            names = [each.name for each in page]
            if name in names:
                return (await self.page(page_size=names.index(name) + 1, page_token=token))[1]
            assert following, f"{name} is not listed"
            token = following

    async def call(self, verb: str, **fields: Any) -> Any:
        """Call a standard method through the generated stub."""
        return await self._send(self.facts.methods[verb], fields)

    async def rpc(self, method: str, /, **fields: Any) -> Any:
        """Call any method of the resource's package through the generated stub."""
        return await self._send(self.facts.package[method], fields)

    async def raw(self, method: MethodDescriptor, request: Any) -> tuple[bytes, bool]:
        """Call any method, and return the bytes of its answer, and whether it is one that was given before."""
        path = f"/{method.containing_service.full_name}/{method.name}"
        send: Any = self.channel.unary_unary(path)
        call = send(request.SerializeToString(), timeout=CALL_SECONDS)
        data: bytes = await call
        return data, ("idempotent-replayed", "true") in tuple(await call.initial_metadata())

    async def _send(self, method: MethodDescriptor, fields: Mapping[str, Any]) -> Any:
        stub = _stub(method, self.channel)
        request = GetMessageClass(method.input_type)(**fields)
        return await getattr(stub, method.name)(request, timeout=CALL_SECONDS)


def copy_fields(source: Any, target: Any, fields: Sequence[str]) -> None:
    """Make some fields of a message what they are in another, not set where they are not."""
    for field in fields:
        target.ClearField(field)
    FieldMask(paths=fields).MergeMessage(source, target)


def without(message: Any, *fields: str) -> Any:
    """Return a copy of a message without some fields, of which it need not have any."""
    made = type(message)()
    made.CopyFrom(message)
    for field in fields:
        if field in message.DESCRIPTOR.fields_by_name:
            made.ClearField(field)
    return made


def told(message: Any) -> dict[str, Any]:
    """Return what of a message callers may set and are told, in a form in which equal values are equal."""
    fields = settable(message.DESCRIPTOR)
    return {field.name: value_of(message, field) for field in fields if is_told(field)}


def value_of(message: Any, field: FieldDescriptor | str) -> Any:
    """Return the value of a field in a form in which equal values are equal; None where a message is not set.

    Names in a list have no order, and a decimal number has many spellings.
    """
    field = message.DESCRIPTOR.fields_by_name[field] if isinstance(field, str) else field
    value = getattr(message, field.name)
    if is_map(field):
        return {key: _plain(value[key]) for key in value}
    if field.is_repeated:
        return sorted(value) if refers_to(field) else [_plain(item) for item in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _plain(value)


def _plain(value: Any) -> Any:
    descriptor = getattr(value, "DESCRIPTOR", None)
    if descriptor is None or descriptor.full_name.startswith("google.protobuf."):
        return value
    if descriptor.full_name == DECIMAL:
        return Decimal(value.value or 0)
    return told(value)


def _resources(response: Any) -> list[Any]:
    """Return the resources in a response that has many."""
    items = next(field.name for field in response.DESCRIPTOR.fields if field.message_type)
    return list(getattr(response, items))


def _stub(method: MethodDescriptor, channel: grpc.aio.Channel) -> Any:
    service = method.containing_service
    module = importlib.import_module(service.file.name.removesuffix(".proto").replace("/", ".") + "_pb2_grpc")
    return getattr(module, f"{service.name}Stub")(channel)
