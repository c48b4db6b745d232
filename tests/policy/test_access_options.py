"""Who may call a method, as the options of its proto say (`tablestakes_access.v1`)."""

from dataclasses import replace
from itertools import count
from typing import Any, cast

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from marketplace.v1 import tag_pb2
from tablestakes_access.v1 import access_pb2
from tablestakes_access.v1.access_pb2 import Access as Said

from marketplace_service.models import Tag
from tablestakes import KNOWN, PUBLIC, Access, Resource
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.method import Method
from tablestakes.crud.method_access import method_access

ADMIN = Access.of(roles=["admin"])
_packages = count()


def resource(**declared: Any) -> Resource:
    """Return a declaration that says who may call."""
    return Resource(message=tag_pb2.Tag, model=Tag, **declared)


def methods(service: Said | None = None, **said: Said | None) -> dict[str, Method]:
    """Return the methods of a new service, by name, given its option and theirs; those of Get read."""
    package = f"options{next(_packages)}.v1"
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    file.dependency.append(access_pb2.DESCRIPTOR.name)
    file.message_type.add(name="Nothing")
    made = file.service.add(name="TagService")
    if service is not None:
        made.options.Extensions[access_pb2.default_access].CopyFrom(service)
    for name, option in said.items():
        method = made.method.add(name=name, input_type=f".{package}.Nothing", output_type=f".{package}.Nothing")
        if option is not None:
            method.options.Extensions[access_pb2.access].CopyFrom(option)
    pool = descriptor_pool.Default()
    pool.Add(file)
    found = pool.FindServiceByName(f"{package}.TagService")
    nothing = cast(Any, None)
    return {
        each.name: Method(each, nothing, nothing, nothing, each.name, reads=each.name.startswith("Get"))
        for each in found.methods
    }


def only(service: Said | None = None, **said: Said | None) -> Method:
    """Return the only method of a new service."""
    (method,) = methods(service, **said).values()
    return method


@pytest.mark.parametrize(
    ("said", "access"),
    [
        (Said(public=True), PUBLIC),
        (Said(authenticated=True), KNOWN),
        (Said(authenticated=True, roles=["admin"]), ADMIN),
        (Said(roles=["admin", "editor"]), Access.of(roles=["admin", "editor"])),
        (Said(scopes=["tags.read"]), Access.of(scopes=["tags.read"])),
        (Said(roles=["admin"], scopes=["tags.read"]), Access.of(roles=["admin"], scopes=["tags.read"])),
    ],
)
def test_an_option_says_who_may_call(said: Said, access: Access) -> None:
    """The option of a method says it, and so does that of its service for a method without."""
    assert method_access(only(GetTag=said), resource()) == access
    assert method_access(only(said, GetTag=None), resource()) == access


def test_the_closest_word_counts() -> None:
    """What is said of a method goes before what is said of its service, and of all that its resource reads."""
    assert method_access(only(Said(roles=["admin"]), GetTag=Said(public=True)), resource()) == PUBLIC
    assert method_access(only(GetTag=Said(public=True)), resource(reads=ADMIN)) == PUBLIC
    assert method_access(only(Said(public=True), GetTag=None), resource(access={"GetTag": ADMIN})) == ADMIN


def test_nothing_is_said_by_default() -> None:
    """A method of which neither the proto nor the declaration says it has no access."""
    assert method_access(only(GetTag=None), resource()) is None
    assert method_access(only(GetTag=None), resource(writes=PUBLIC)) is None


def test_a_batch_needs_what_its_items_need() -> None:
    """A batch whose option lets everybody in is still for those only who may call the method of its items."""
    both = methods(CreateTag=Said(roles=["admin"]), BatchCreateTags=Said(public=True))
    of_items = replace(both["BatchCreateTags"], item=both["CreateTag"])
    assert method_access(of_items, resource()) == ADMIN


@pytest.mark.parametrize(
    ("method", "declared", "message"),
    [
        (
            {"GetTag": Said(public=True)},
            {"access": {"GetTag": PUBLIC}},
            r"TagService.GetTag: both its option \(tablestakes_access.v1.access\) and `access` of the Resource of "
            r"marketplace.v1.Tag say who may call; keep one of them",
        ),
        (
            {"service": Said(public=True), "GetTag": None},
            {"reads": PUBLIC},
            r"TagService: both its option \(tablestakes_access.v1.default_access\) and `reads` of the Resource",
        ),
        ({"GetTag": Said()}, {}, r"GetTag: its option \(tablestakes_access.v1.access\) says nothing; set public"),
        (
            {"GetTag": Said(public=True, roles=["admin"])},
            {},
            r"GetTag: its option \(tablestakes_access.v1.access\) is public, and has roles besides; keep one",
        ),
    ],
)
def test_a_contradiction_is_refused(method: dict[str, Said | None], declared: dict[str, Any], message: str) -> None:
    """What is said twice, says nothing or contradicts itself is an error at start that names the method."""
    with pytest.raises(DeclarationError, match=message):
        method_access(only(**method), resource(**declared))
