"""Finding what serves each RPC: compiled and verified once, at start."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from google.api import client_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from server.crud import create, delete, get, update
from server.crud import list as list_verb
from server.crud.behavior import option
from server.crud.mask import fields_to_write
from server.crud.name import plural_of
from server.crud.page import PageTokens
from server.crud.plan import Plan, compile_plan
from server.crud.resource import DeclarationError, Resource, Serve, likely
from server.crud.rpc import Rpc


def bind(resources: Iterable[Resource], tokens: PageTokens) -> list[Rpc]:
    """Return every RPC of every service that the files of the resources declare.

    A method is served by the function that a resource names for it, or else by the standard verb that its name
    and its resource say: `GetUser`, `ListUsers`.

    Args:
        resources: What is served.
        tokens: Makes and reads page tokens.

    Raises:
        DeclarationError: A declaration, a model and a proto do not fit together, or a method has nothing to
            serve it.
    """
    plans = {resource.descriptor.full_name: (resource, compile_plan(resource)) for resource in resources}
    services = {
        service.full_name: service
        for resource, _ in plans.values()
        for service in resource.descriptor.file.services_by_name.values()
    }
    rpcs = [rpc for service in services.values() for rpc in _bind_service(service, list(plans.values()), tokens)]
    served = {rpc.table for rpc in rpcs}
    for resource, plan in plans.values():
        if plan.table.name not in served:
            raise DeclarationError(f"no RPC serves {resource.descriptor.full_name}")
        unknown = set(resource.methods) - {rpc.method for rpc in rpcs}
        for method in sorted(unknown):
            raise DeclarationError(
                f"{resource.descriptor.full_name} has a function for {method}, which is no RPC;"
                f" {likely(method, {rpc.method for rpc in rpcs})}"
            )
    return rpcs


def _bind_service(
    service: ServiceDescriptor, declared: Sequence[tuple[Resource, Plan]], tokens: PageTokens
) -> Iterator[Rpc]:
    for method in service.methods:
        rpc = _custom(method, declared) or _standard(method, declared, tokens)
        if rpc is None:
            standard = [f"{verb}{plan.descriptor.name}" for verb in VERBS for _, plan in declared]
            raise DeclarationError(
                f"nothing serves {method.full_name}: it is no standard method of a declared resource, and no"
                f" resource has a function for it; {likely(method.name, standard)}"
            )
        yield rpc


def _custom(method: MethodDescriptor, declared: Sequence[tuple[Resource, Plan]]) -> Rpc | None:
    for resource, plan in declared:
        if function := resource.methods.get(method.name):
            return _rpc(method, plan, function, f"{function.__module__}.{function.__qualname__}")
    return None


def _standard(
    method: MethodDescriptor, declared: Sequence[tuple[Resource, Plan]], tokens: PageTokens
) -> Rpc | None:
    for _, plan in declared:
        descriptor = plan.descriptor
        for verb, bind_verb in VERBS.items():
            if method.name == verb + (plural_of(descriptor) if verb == "List" else descriptor.name):
                return bind_verb(method, plan, tokens)
    return None


def _bind_get(method: MethodDescriptor, plan: Plan, _: PageTokens) -> Rpc:
    _require(method.input_type, "name")
    return _rpc(method, plan, get.prepare(plan), "get")


def _bind_list(method: MethodDescriptor, plan: Plan, tokens: PageTokens) -> Rpc:
    _require(method.input_type, "page_size", "page_token")
    _require(method.output_type, "next_page_token")
    items = _field_of(method.output_type, plan)
    serve = list_verb.prepare(plan, GetMessageClass(method.output_type), items, tokens)
    return _rpc(method, plan, serve, "list")


def _bind_create(method: MethodDescriptor, plan: Plan, _: PageTokens) -> Rpc:
    body = _field_of(method.input_type, plan)
    return _rpc(method, plan, create.prepare(plan, body), "create", body, lambda _request: plan.writable)


def _bind_update(method: MethodDescriptor, plan: Plan, _: PageTokens) -> Rpc:
    body = _field_of(method.input_type, plan)
    _require(method.input_type, "update_mask")

    def writes(request: Any) -> frozenset[str]:
        fields = fields_to_write(plan, request.update_mask.paths, getattr(request, body))
        return frozenset(field.name for field in fields)

    return _rpc(method, plan, update.prepare(plan, body), "update", body, writes)


def _bind_delete(method: MethodDescriptor, plan: Plan, _: PageTokens) -> Rpc:
    _require(method.input_type, "name")
    return _rpc(method, plan, delete.prepare(plan), "delete")


VERBS: dict[str, Callable[[MethodDescriptor, Plan, PageTokens], Rpc]] = {
    "Get": _bind_get,
    "List": _bind_list,
    "Create": _bind_create,
    "Update": _bind_update,
    "Delete": _bind_delete,
}


def _rpc(
    method: MethodDescriptor,
    plan: Plan,
    serve: Serve,
    served_by: str,
    body: str | None = None,
    writes: Callable[[Any], frozenset[str]] | None = None,
) -> Rpc:
    service = method.containing_service
    host: str = option(service, client_pb2.default_host)
    return Rpc(
        service=service.full_name,
        method=method.name,
        request=GetMessageClass(method.input_type),
        serve=serve,
        served_by=served_by,
        table=plan.table.name,
        domain=host or service.full_name,
        body=body,
        writes=writes,
        columns={field.column.name: f"{body}.{field.name}" for field in plan.fields.values()} if body else {},
        constraints=plan.constraints,
    )


def _require(message: Descriptor, *names: str) -> None:
    for name in names:
        if name not in message.fields_by_name:
            raise DeclarationError(
                f"{message.full_name} needs a field {name}; {likely(name, message.fields_by_name)}"
            )


def _field_of(message: Descriptor, plan: Plan) -> str:
    for candidate in message.fields:
        if candidate.message_type is plan.descriptor:
            return candidate.name
    raise DeclarationError(f"{message.full_name} needs a field of the type {plan.descriptor.name}")
