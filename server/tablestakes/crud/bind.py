"""Finding what serves each RPC: compiled and verified once, at start."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from google.api import client_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.schema import Plan, compile_plans
from tablestakes.crud.schema.behavior import REQUIRED, behaves, option
from tablestakes.crud.schema.codec import python_type
from tablestakes.crud.schema.name import plural_of
from tablestakes.crud.resource import Resource, Serve, Transition
from tablestakes.crud.rpc import Rpc
from tablestakes.crud.shape import (
    BOOL,
    EMPTY,
    FIELD_MASK,
    INT32,
    STRING,
    field_of,
    require,
    require_response,
    require_unary,
)
from tablestakes.crud.verb import create, delete, get, singleton, update
from tablestakes.crud.verb import list as list_verb
from tablestakes.crud.verb.mask import fields_to_write
from tablestakes.crud.verb.page import PageTokens
from tablestakes.crud.verb.transition import prepare as prepare_transition

Declared = tuple[Resource, Plan]


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
    resources = list(resources)
    plans = compile_plans(resources)
    declared: dict[str, Declared] = {
        name: (resource, plans[name]) for resource in resources if (name := resource.descriptor.full_name)
    }
    services = {
        service.full_name: service
        for resource, _ in declared.values()
        for service in resource.descriptor.file.services_by_name.values()
    }
    rpcs = [rpc for service in services.values() for rpc in _bind_service(service, declared, tokens)]
    for name, (resource, _) in declared.items():
        own = {rpc.method for rpc in rpcs if rpc.resource == name}
        if not own:
            raise DeclarationError(f"no RPC serves {name}")
        for method in sorted(set(resource.methods) - own):
            package = resource.descriptor.file.package
            known = {rpc.method for rpc in rpcs if rpc.service.startswith(f"{package}.")}
            raise DeclarationError(f"{name} has a function for {method}, which is no RPC; {likely(method, known)}")
    return rpcs


def _bind_service(
    service: ServiceDescriptor, declared: Mapping[str, Declared], tokens: PageTokens
) -> Iterator[Rpc]:
    # A resource is served by its own package: another one may have a message and methods of the same names.
    near = [each for each in declared.values() if each[0].descriptor.file.package == service.file.package]
    for method in service.methods:
        require_unary(method)
        rpc = _custom(method, near) or _standard(method, near, tokens)
        if rpc is None:
            standard = [_method_name(verb, plan) for verb in VERBS for _, plan in near]
            raise DeclarationError(
                f"nothing serves {method.full_name}: it is no standard method of a declared resource, and no"
                f" resource has a function for it; {likely(method.name, standard)}"
            )
        yield rpc


def _custom(method: MethodDescriptor, declared: Sequence[Declared]) -> Rpc | None:
    for resource, plan in declared:
        match resource.methods.get(method.name):
            case Transition() as transition:
                require(method.input_type, name=STRING)
                require_response(method, plan.descriptor.full_name)
                served_by = f"{' or '.join(transition.sources)} to {transition.target}"
                return _rpc(method, plan, prepare_transition(plan, transition), served_by)
            case function if function is not None:
                served_by = f"{function.__module__}.{function.__qualname__}"
                return _rpc(method, plan, partial(function, plan), served_by)
    return None


def _standard(method: MethodDescriptor, declared: Sequence[Declared], tokens: PageTokens) -> Rpc | None:
    for _, plan in declared:
        for verb, bind_verb in VERBS.items():
            if method.name == _method_name(verb, plan):
                return bind_verb(method, plan, tokens)
    return None


def _method_name(verb: str, plan: Plan) -> str:
    return verb + (plural_of(plan.descriptor) if verb == "List" else plan.descriptor.name)


def _bind_get(method: MethodDescriptor, plan: Plan, _: PageTokens) -> Rpc:
    require(method.input_type, name=STRING)
    require_response(method, plan.descriptor.full_name)
    if plan.names.singleton:
        return _rpc(method, plan, singleton.prepare_get(plan), "get singleton")
    return _rpc(method, plan, get.prepare(plan, method.input_type), "get")


def _bind_list(method: MethodDescriptor, plan: Plan, tokens: PageTokens) -> Rpc:
    require(method.input_type, page_size=INT32, page_token=STRING)
    _require_parent(method, plan)
    require(method.output_type, next_page_token=STRING)
    items = field_of(method.output_type, plan, repeated=True)
    serve = list_verb.prepare(plan, method.input_type, GetMessageClass(method.output_type), items, tokens)
    return _rpc(method, plan, serve, "list")


def _bind_create(method: MethodDescriptor, plan: Plan, _: PageTokens) -> Rpc:
    body = field_of(method.input_type, plan)
    _require_parent(method, plan)
    require_response(method, plan.descriptor.full_name)
    _require_writable(method, plan)
    chosen_id = f"{body}_id" if f"{body}_id" in method.input_type.fields_by_name else None
    if chosen_id:
        require(method.input_type, **{chosen_id: STRING})
        key = plan.names.columns[-1]
        if python_type(key) is not str or not behaves(method.input_type.fields_by_name[chosen_id], REQUIRED):
            raise DeclarationError(
                f"{method.full_name}: {chosen_id} must be REQUIRED, and {plan.table.name}.{key.name} be text"
            )
    rpc = _rpc(method, plan, create.prepare(plan, body, chosen_id), "create", body, lambda _request: plan.writable)
    if not chosen_id:
        return rpc
    return replace(rpc, columns={**rpc.columns, plan.names.columns[-1].name: chosen_id})


def _bind_update(method: MethodDescriptor, plan: Plan, _: PageTokens) -> Rpc:
    body = field_of(method.input_type, plan)
    require(method.input_type, update_mask=FIELD_MASK)
    require_response(method, plan.descriptor.full_name)
    _require_writable(method, plan)

    def writes(request: Any) -> frozenset[str]:
        parts = fields_to_write(plan, request.update_mask.paths, getattr(request, body))
        return frozenset(part.name for part in parts)

    if plan.names.singleton:
        return _rpc(method, plan, singleton.prepare_update(plan, body), "update singleton", body, writes)
    return _rpc(method, plan, update.prepare(plan, body), "update", body, writes)


def _bind_delete(method: MethodDescriptor, plan: Plan, _: PageTokens) -> Rpc:
    require(method.input_type, name=STRING)
    require_response(method, EMPTY)
    forcible = "force" in method.input_type.fields_by_name
    if forcible:
        require(method.input_type, force=BOOL)
    return _rpc(method, plan, delete.prepare(plan, forcible=forcible), "delete")


def _require_parent(method: MethodDescriptor, plan: Plan) -> None:
    if plan.names.parent is not None:
        require(method.input_type, parent=STRING)


def _require_writable(method: MethodDescriptor, plan: Plan) -> None:
    """Refuse to write items that are messages: what they mean together is for a function to say."""
    if plan.names.singleton and any(field.immutable for field in plan.fields.values()):
        raise DeclarationError(f"{plan.descriptor.full_name} is a singleton without a Create: nothing is IMMUTABLE")
    for collection in plan.collections.values():
        if collection.writable and (collection.target is None or plan.names.singleton or collection.immutable):
            raise DeclarationError(
                f"{method.full_name} needs a function: {plan.descriptor.name}.{collection.name} cannot be"
                " written by a standard method"
            )


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
        resource=plan.descriptor.full_name,
        table=plan.table.name,
        domain=host or service.full_name,
        body=body,
        writes=writes,
        columns={field.column.name: f"{body}.{field.name}" for field in plan.fields.values()} if body else {},
        constraints=plan.constraints,
    )
