"""Finding what serves each RPC: compiled and verified once, at start."""

import inspect
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from importlib import import_module
from typing import Any, cast

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor, ServiceDescriptor

from tablestakes.crud import transition
from tablestakes.crud.asks import SHOW_DELETED, UNSERVED, Asks
from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.etag_first import etag_first, require_etag
from tablestakes.crud.method import RETENTION, Method, Rpc
from tablestakes.crud.method_access import method_access
from tablestakes.crud.query.token import PageTokens
from tablestakes.crud.query.total import MOST_COUNTED
from tablestakes.crud.resource import Resource, Transition
from tablestakes.crud.schema.codec import CodecFor
from tablestakes.crud.schema.schema import Schema, compile_schemas
from tablestakes.crud.shape import require_one_request, require_streaming
from tablestakes.crud.verb import VERBS
from tablestakes.filter.limits import Limits

Declared = tuple[Resource, Schema]

Common = tuple[PageTokens, Limits, int, timedelta]
"""The parts that every method of a service has in common."""


def bind(
    resources: Iterable[Resource],
    tokens: PageTokens,
    codecs: Sequence[CodecFor] = (),
    limits: Limits | None = None,
    most_counted: int = MOST_COUNTED,
    retention: timedelta = RETENTION,
) -> list[Method]:
    """Return every RPC of every service in the proto packages of the resources.

    A method is served by the function that a resource names for it, or else by the standard verb that its name
    and its resource say: `GetUser`, `ListUsers`.

    Args:
        resources: The resources that are served.
        tokens: Makes and reads page tokens.
        codecs: The service's own codecs.
        limits: How much a filter may ask for; None for the defaults.
        most_counted: How many resources are counted at most for a total.
        retention: For how long a resource that is deleted softly can be restored.

    Raises:
        DeclarationError: A declaration, a model and a proto do not fit together, or a method has nothing to
            serve it.
    """
    resources = list(resources)
    schemas = compile_schemas(resources, codecs)
    declared = {resource.descriptor.full_name: resource for resource in resources}
    pairs = [(resource, schemas[name]) for name, resource in declared.items()]
    common = (tokens, limits or Limits(), most_counted, retention)
    methods = [method for service in _services(resources) for method in _bind_service(service, pairs, common)]
    by_schema = {id(schemas[name]): resource for name, resource in declared.items()}
    methods = [replace(each, access=method_access(each, by_schema[id(each.schema)])) for each in methods]
    for name, resource in declared.items():
        served = {method.name for method in methods if method.schema is schemas[name]}
        if not served:
            raise DeclarationError(f"no RPC serves {name}")
        for said, names in (("has a function for", resource.methods), ("says who may call", resource.access)):
            for unknown in sorted(set(names) - served):
                package = resource.descriptor.file.package
                known = {method.name for method in methods if method.service.startswith(f"{package}.")}
                raise DeclarationError(f"{name} {said} {unknown}, which is no RPC; {likely(unknown, known)}")
    return methods


def _services(resources: Sequence[Resource]) -> list[ServiceDescriptor]:
    """Return the services of the resources' proto packages, those of the resources' own files first.

    A service may stand in a file of its own, which no message refers to: every generated module beside the
    resource's own is looked at.
    """
    files = {resource.descriptor.file.name: resource.descriptor.file for resource in resources}
    for resource in resources:
        own = resource.descriptor.file
        package = resource.message.__module__.rpartition(".")[0]
        paths = getattr(sys.modules.get(package), "__path__", ())
        for module in pkgutil.iter_modules(paths):
            if module.name.endswith("_pb2"):
                file = cast(FileDescriptor, import_module(f"{package}.{module.name}").DESCRIPTOR)
                if file.package == own.package:
                    files.setdefault(file.name, file)
    return [service for file in files.values() for service in file.services_by_name.values()]


def _bind_service(service: ServiceDescriptor, declared: Sequence[Declared], common: Common) -> Iterator[Method]:
    # A resource is served by its own package: another one may have a message and methods of the same names.
    near = [each for each in declared if each[0].descriptor.file.package == service.file.package]
    for descriptor in service.methods:
        require_one_request(descriptor)
        method = _declared(descriptor, near, common) or _standard(descriptor, near, common)
        if method is None:
            standard = [verb.method_name(schema.descriptor) for verb in VERBS for _, schema in near]
            raise DeclarationError(
                f"nothing serves {descriptor.full_name}: it is no standard method of a declared resource, and no"
                f" resource has a function for it; {likely(descriptor.name, standard)}"
            )
        yield method


def _declared(descriptor: MethodDescriptor, declared: Sequence[Declared], common: Common) -> Method | None:
    """Return the method that a resource declares a function or a transition for."""
    for resource, schema in declared:
        match resource.methods.get(descriptor.name):
            case Transition() as declared_transition:
                return transition.bind(_rpc(descriptor, resource, schema, common), declared_transition)
            case function if function is not None:
                if not inspect.iscoroutinefunction(function):
                    raise DeclarationError(
                        f"{_name_of(function)} must be `async def`: it serves {descriptor.full_name}"
                    )
                rpc = _rpc(descriptor, resource, schema, common)
                return rpc.method(etag_first(rpc, partial(function, schema)), _name_of(function))
    return None


def _standard(descriptor: MethodDescriptor, declared: Sequence[Declared], common: Common) -> Method | None:
    """Return the standard method that the name says."""
    for resource, schema in declared:
        for verb in VERBS:
            if descriptor.name == verb.method_name(schema.descriptor):
                if unserved := sorted((UNSERVED - verb.serves).intersection(descriptor.input_type.fields_by_name)):
                    raise DeclarationError(
                        f"{descriptor.input_type.full_name} has {', '.join(unserved)}, which this standard"
                        f" method does not serve: leave it out, or serve {descriptor.name} by a function"
                    )
                require_streaming(descriptor, streams=verb.streams)
                return verb.bind(_rpc(descriptor, resource, schema, common))
    return None


def _rpc(descriptor: MethodDescriptor, resource: Resource, schema: Schema, common: Common) -> Rpc:
    siblings = descriptor.containing_service.methods_by_name

    def other(name: str) -> Method | None:
        return _declared(siblings[name], [(resource, schema)], common) if name in siblings else None

    rpc = Rpc(descriptor, schema, Asks.of(descriptor.input_type), *common, declared=other)
    if SHOW_DELETED in rpc.asks.fields and schema.removal is None:
        raise DeclarationError(
            f"{descriptor.input_type.full_name} has {SHOW_DELETED}, and {schema.descriptor.full_name} is deleted"
            " for good: leave it out"
        )
    require_etag(rpc)
    return rpc


def _name_of(function: Any) -> str:
    return f"{function.__module__}.{function.__qualname__}"
