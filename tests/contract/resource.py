"""One served resource as the contract suite sees it: its messages, its stub and its standard methods."""

import importlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import UniqueConstraint

from marketplace_service.api import RESOURCES
from tablestakes.crud import Resource, Transition
from tablestakes.crud.schema import Plan, compile_plans
from tablestakes.crud.schema.behavior import IMMUTABLE, INPUT_ONLY, REQUIRED, behaves
from tablestakes.crud.schema.name import plural_of, type_of
from tests.contract.prepare import PREPARATIONS
from tests.contract.sample import refers_to, sample, settable
from tests.gadgets import GADGET

SERVED = {resource.descriptor.name: resource for resource in (*RESOURCES, GADGET)}
PLANS = compile_plans(SERVED.values())
BY_TYPE = {type_of(resource.descriptor): resource for resource in SERVED.values()}
MAX_PAGE = 1000


@dataclass(frozen=True)
class Contract:
    """A resource and a connection to a server that serves it.

    Attributes:
        resource: The resource.
        channel: The connection.
        parent: The name of what resources are created below and listed of; "" for a new one each time, or where
            they are at the top.
    """

    resource: Resource
    channel: grpc.aio.Channel
    parent: str = ""

    def of(self, resource: Resource | str, parent: str = "") -> "Contract":
        """Return the contract of another resource on the same server."""
        return Contract(SERVED[resource] if isinstance(resource, str) else resource, self.channel, parent)

    @property
    def plan(self) -> Plan:
        """The resource, compiled; for what its table says."""
        return PLANS[self.resource.descriptor.full_name]

    @property
    def body(self) -> str:
        """The field of a request that holds the resource: `user`."""
        return body_of(self.resource)

    @property
    def above(self) -> "Contract":
        """The contract of the resource that this one is below of."""
        parent = self.plan.names.parent
        assert parent is not None
        patterns = {PLANS[each.descriptor.full_name].names.pattern: each for each in SERVED.values()}
        return self.of(patterns[parent.pattern])

    @property
    def changeable(self) -> list[str]:
        """The names of the fields that an Update may change: all that callers may set but IMMUTABLE ones."""
        return sorted(self.plan.writable.difference(self.having(IMMUTABLE)))

    @property
    def nothing(self) -> str:
        """The name of a resource that does not exist."""
        return self.named(999_999_999)

    def named(self, key: object) -> str:
        """Return the name in which every id is the same."""
        return self.plan.names.format((key,) * len(self.plan.names.columns))

    def below(self, parent: str) -> str:
        """Return the name of a parent's singleton."""
        return f"{parent}/{self.plan.names.pattern.rpartition('/')[2]}"

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
            for field in settable(self.resource.descriptor)
            if not plain or behaves(field, REQUIRED) or not (refers_to(field) or behaves(field, INPUT_ONLY))
        ]
        made = sample(self.resource.message, fields)
        await self._refer(made, dict(given or {}))
        if prepare := PREPARATIONS.get(self.resource.descriptor.name):
            await prepare(self, made)
        return made

    async def _refer(self, message: Any, given: dict[str, str]) -> None:
        for field in settable(message.DESCRIPTOR):
            value = getattr(message, field.name)
            if kind := refers_to(field):
                names = [
                    given.pop(kind, "") or (await self.of(BY_TYPE[kind]).create(plain=True)).name
                    for _ in (value if field.is_repeated else filter(None, [value]))
                ]
                if field.is_repeated:
                    value[:] = names
                elif names:
                    setattr(message, field.name, names[0])
            elif field.is_repeated and field.message_type is not None:
                for item in value:
                    await self._refer(item, given)

    async def create(self, message: Any = None, *, plain: bool = False, **fields: Any) -> Any:
        """Create a resource, and return what the server said; a singleton is there once its parent is.

        Args:
            message: The resource; None for a sample.
            plain: Whether the sample is to be a plain one.
            fields: Further fields of the request; it has what it needs without them.
        """
        if self.plan.names.singleton:
            return await self.get(self.below(await self.new_parent()))
        sent = message if message is not None else await self.sample(plain=plain)
        return await self.call("Create", **{self.body: sent}, **(await self.beside(**fields)))

    async def beside(self, **fields: Any) -> dict[str, Any]:
        """Return what a Create needs beside the resource: a parent, an id, and any fields given."""
        needed: dict[str, Any] = {}
        if self.plan.names.parent is not None and "parent" not in fields:
            needed["parent"] = self.parent or await self.new_parent()
        chosen = f"{self.body}_id"
        if chosen not in fields and (request := chosen_id(self.resource)):
            needed[chosen] = getattr(sample(GetMessageClass(request), [chosen]), chosen)
        return needed | fields

    async def new_parent(self) -> str:
        """Create another parent, and return its name."""
        name: str = (await self.above.create(plain=True)).name
        return name

    async def update(self, message: Any, *paths: str) -> Any:
        """Update a resource by a mask, or without one."""
        return await self.call(
            "Update", **{self.body: message}, **({"update_mask": {"paths": paths}} if paths else {})
        )

    async def get(self, name: str, **fields: Any) -> Any:
        """Get a resource."""
        return await self.call("Get", name=name, **fields)

    async def page(self, **fields: Any) -> tuple[list[Any], str]:
        """Return a page's resources and the token of the next one."""
        if self.parent:
            fields.setdefault("parent", self.parent)
        response = await self.call("List", **fields)
        items = next(field.name for field in response.DESCRIPTOR.fields if field.message_type)
        return list(getattr(response, items)), response.next_page_token

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
        return await self._send(methods_of(self.resource)[verb], fields)

    async def rpc(self, method: str, /, **fields: Any) -> Any:
        """Call any method of the resource's package through the generated stub."""
        return await self._send(_methods(self.resource)[method], fields)

    async def _send(self, method: MethodDescriptor, fields: Mapping[str, Any]) -> Any:
        stub = _stub(method, self.channel)
        return await getattr(stub, method.name)(GetMessageClass(method.input_type)(**fields), timeout=10)


def fields_with(resource: Resource, *behaviors: int) -> list[str]:
    """Return the names of a resource's fields that callers may set and that have any of some behaviors."""
    return [field.name for field in settable(resource.descriptor) if behaves(field, *behaviors)]


def copy_fields(source: Any, target: Any, fields: Iterable[str]) -> None:
    """Make some fields of a message what they are in another, not set where they are not."""
    for field in fields:
        target.ClearField(field)
    FieldMask(paths=fields).MergeMessage(source, target)


def told(message: Any) -> dict[str, Any]:
    """Return what of a message callers may set and are told; in order, unless it is of a list that has none."""
    values: dict[str, Any] = {}
    for field in settable(message.DESCRIPTOR):
        value = getattr(message, field.name)
        if behaves(field, INPUT_ONLY):
            continue
        if field.is_repeated:
            value = [told(item) for item in value] if field.message_type else sorted(value)
        elif field.has_presence and not message.HasField(field.name):
            value = None
        values[field.name] = value
    return values


def body_of(resource: Resource) -> str:
    """Return the field of a request that holds a resource."""
    name = resource.descriptor.name
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def chosen_id(resource: Resource) -> Descriptor | None:
    """Return the request in which callers choose the id of a resource, None where the server does."""
    create = methods_of(resource).get("Create")
    found = create is not None and f"{body_of(resource)}_id" in create.input_type.fields_by_name
    return create.input_type if create is not None and found else None


def references(message: Descriptor, path: str) -> Iterator[tuple[str, FieldDescriptor]]:
    """Yield the fields by which a message and its items refer to others, with their paths in a sample of it."""
    for field in settable(message):
        index = "[0]" if field.is_repeated else ""
        if refers_to(field):
            yield f"{path}.{field.name}{index}", field
        elif field.is_repeated and field.message_type is not None:
            yield from references(field.message_type, f"{path}.{field.name}{index}")


def referring(resource: Resource) -> list[str]:
    """Return the names of the resources that can be created with a reference to one, or to a singleton of it."""
    mine = PLANS[resource.descriptor.full_name].names
    kinds = {type_of(resource.descriptor)}
    for kind, each in BY_TYPE.items():
        names = PLANS[each.descriptor.full_name].names
        if names.singleton and names.parent is not None and names.parent.pattern == mine.pattern:
            kinds.add(kind)
    return [
        name
        for name, each in SERVED.items()
        if "Create" in methods_of(each)
        and any(refers_to(field) in kinds for _, field in references(each.descriptor, ""))
    ]


def transitions_of(resource: Resource) -> dict[str, Transition]:
    """Return the methods of a resource that change its state and nothing else, by name."""
    return {name: method for name, method in resource.methods.items() if isinstance(method, Transition)}


def methods_of(resource: Resource) -> Mapping[str, MethodDescriptor]:
    """Return the standard methods that a resource's services have, by verb."""
    names = {verb: verb + resource.descriptor.name for verb in ("Get", "Create", "Update", "Delete")}
    names["List"] = "List" + plural_of(resource.descriptor)
    methods = _methods(resource)
    return {verb: methods[name] for verb, name in names.items() if name in methods}


def traits_of(resource: Resource) -> set[str]:
    """Return what a resource has that not every one has, as the tests' marks name it; its verbs too."""
    plan, methods = PLANS[resource.descriptor.full_name], methods_of(resource)
    refers = [field for _, field in references(resource.descriptor, "")]
    getting, deleting = methods.get("Get"), methods.get("Delete")
    has = {
        "singleton": plan.names.singleton,
        "parent": plan.names.parent is not None and not plan.names.singleton,
        "required": bool(fields_with(resource, REQUIRED)),
        "unique": bool(unique_fields(plan)),
        "references": bool(refers),
        "mutable references": any(
            name in plan.fields and refers_to(field) and not behaves(field, IMMUTABLE)
            for name, field in resource.descriptor.fields_by_name.items()
        ),
        "names": any(each.target and each.writable for each in plan.collections.values()),
        "chosen id": chosen_id(resource) is not None,
        "server's id": "Create" in methods and chosen_id(resource) is None,
        "children": bool(plan.children),
        "force": deleting is not None and "force" in deleting.input_type.fields_by_name,
        "referred to": bool(referring(resource)),
        "view": getting is not None and "view" in getting.input_type.fields_by_name,
        "transitions": bool(transitions_of(resource)),
        "standard Create": "Create" in methods and f"Create{resource.descriptor.name}" not in resource.methods,
    }
    return {*methods, *(trait for trait, had in has.items() if had)}


def unique_fields(plan: Plan) -> list[list[str]]:
    """Return the fields of each unique constraint whose columns are all fields that callers may set."""
    columns = {field.column: name for name, field in plan.fields.items() if field.writable}
    return [
        [columns[column] for column in constraint.columns]
        for constraint in plan.table.constraints
        if isinstance(constraint, UniqueConstraint) and set(constraint.columns) <= columns.keys()
    ]


def _methods(resource: Resource) -> dict[str, MethodDescriptor]:
    return {
        method.name: method
        for served in SERVED.values()
        if served.descriptor.file.package == resource.descriptor.file.package
        for service in served.descriptor.file.services_by_name.values()
        for method in service.methods
    }


def _stub(method: MethodDescriptor, channel: grpc.aio.Channel) -> Any:
    service = method.containing_service
    module = importlib.import_module(service.file.name.removesuffix(".proto").replace("/", ".") + "_pb2_grpc")
    return getattr(module, f"{service.name}Stub")(channel)
