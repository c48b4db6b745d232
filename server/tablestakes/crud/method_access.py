"""Who may call a method, as its proto (`tablestakes_access.v1`) or the declaration of its resource says."""

from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from tablestakes_access.v1 import access_pb2

from tablestakes.crud.access import KNOWN, PUBLIC, Access
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.method import Method
from tablestakes.crud.resource import Resource
from tablestakes.crud.schema.behavior import has_option, option


def method_access(method: Method, resource: Resource) -> Access | None:
    """Return who may call a method; None where nothing says it. A batch needs besides what its items' method needs.

    What is said of the method itself goes before what is said of its service or of all that its resource reads or
    writes. A declaration may say what the proto leaves open, and contradicts nothing in it: neither goes first.

    Raises:
        DeclarationError: Both the proto and the declaration say it, an option says nothing or contradicts itself,
            or a batch and the method of its items ask for different roles.
    """
    own = _own(method.descriptor, method.reads, resource)
    if own is None or method.item is None:
        return own
    try:
        return own.and_of(_own(method.item.descriptor, method.item.reads, resource))
    except ValueError as error:
        raise DeclarationError(f"{method.descriptor.full_name} and {method.item.name}: {error}") from None


def _own(method: MethodDescriptor, reads: bool, resource: Resource) -> Access | None:
    service = method.containing_service
    return _one_of(
        method.full_name,
        ("its option (tablestakes_access.v1.access)", _of_option(method, access_pb2.access)),
        ("`access`", resource.access.get(method.name)),
        resource,
    ) or _one_of(
        service.full_name,
        ("its option (tablestakes_access.v1.default_access)", _of_option(service, access_pb2.default_access)),
        ("`reads`", resource.reads) if reads else ("`writes`", resource.writes),
        resource,
    )


def _one_of(
    name: str, proto: tuple[str, Access | None], declaration: tuple[str, Access | None], resource: Resource
) -> Access | None:
    (place, said), (twin, declared) = proto, declaration
    if said is not None and declared is not None:
        raise DeclarationError(
            f"{name}: both {place} and {twin} of the Resource of {resource.descriptor.full_name} say who may call; "
            "keep one of them"
        )
    return declared if said is None else said


def _of_option(descriptor: MethodDescriptor | ServiceDescriptor, extension: Any) -> Access | None:
    if not has_option(descriptor, extension):
        return None
    said: access_pb2.Access = option(descriptor, extension)
    place = f"{descriptor.full_name}: its option ({extension.full_name})"
    if not said.ListFields():
        raise DeclarationError(f"{place} says nothing; set public, authenticated, roles or scopes")
    if said.public:
        if len(said.ListFields()) > 1:
            raise DeclarationError(f"{place} is public, and has {_others(said)} besides; keep one")
        return PUBLIC
    if not said.roles and not said.scopes:
        return KNOWN
    return Access.of(roles=said.roles, scopes=said.scopes)


def _others(said: access_pb2.Access) -> str:
    return ", ".join(field.name for field, _ in said.ListFields() if field.name != "public")
