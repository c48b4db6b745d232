"""Fields that refer to other resources, for every resource that has any, on every database (AIP-122)."""

import re
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor

from tablestakes.crud.schema.behavior import REQUIRED, behaves
from tablestakes.testing.contract.common import (
    SESSION_LOOP,
    invalid,
)
from tablestakes.testing.resource import Contract
from tablestakes.testing.sample import refers_to
from tablestakes.testing.served import references

STEP = re.compile(r"(\w+)(?:\[(\d+)\])?")


def put(message: Any, path: str, name: str) -> None:
    """Put a name into the field of a message at a path, after the path's first part."""
    *steps, (last, index) = STEP.findall(path.partition(".")[2])
    for step, position in steps:
        message = getattr(message, step)[int(position)]
    if index:
        getattr(message, last)[int(index)] = name
    else:
        setattr(message, last, name)


def target(contract: Contract, field: FieldDescriptor) -> Contract:
    """Return the contract of what a field refers to."""
    return contract.of(contract.served.by_type[refers_to(field)])


@SESSION_LOOP
@pytest.mark.verbs("Create", "Get")
class TestReference:
    """Fields that refer to other resources, for every resource that has any, on every database (AIP-122)."""

    @pytest.mark.traits("references")
    async def test_a_reference_to_nothing_is_refused_by_its_path(self, contract: Contract) -> None:
        """A name of what does not exist is INVALID_ARGUMENT on the path of the field, or of the item."""
        for path, field in references(contract.facts.descriptor, contract.body):
            sent = await contract.sample()
            put(sent, path, target(contract, field).nothing)
            assert (await invalid(contract.create(sent))).reasons == {path: "REFERENCE_NOT_FOUND"}

    @pytest.mark.traits("references")
    @pytest.mark.parametrize("key", ["nothing\0", "9223372036854775808"])
    async def test_a_reference_to_what_cannot_be_is_refused_by_its_path(self, contract: Contract, key: str) -> None:
        """A name with an id that no resource can have is INVALID_ARGUMENT in the same way."""
        for path, field in references(contract.facts.descriptor, contract.body):
            sent = await contract.sample()
            put(sent, path, target(contract, field).named(key))
            assert (await invalid(contract.create(sent))).reasons == {path: "REFERENCE_NOT_FOUND"}

    @pytest.mark.traits("references")
    @pytest.mark.parametrize("name", ["x", "things/1", "{0}/", "/{0}", "{0}\n", "//service.example.com/{0}"])
    async def test_a_reference_of_another_form_is_refused_by_its_path(self, contract: Contract, name: str) -> None:
        """What is not a name of the type that a field refers to is INVALID_ARGUMENT on its path."""
        for path, field in references(contract.facts.descriptor, contract.body):
            sent = await contract.sample()
            put(sent, path, name.format(target(contract, field).named(1)))
            assert (await invalid(contract.create(sent))).reasons == {path: "INVALID_RESOURCE_NAME"}

    @pytest.mark.traits("references", "several types")
    async def test_a_reference_to_another_type_is_refused_by_its_path(self, contract: Contract) -> None:
        """The name of a resource of another type is INVALID_ARGUMENT on the path of the field."""
        for path, field in references(contract.facts.descriptor, contract.body):
            sent = await contract.sample()
            other = next(each for kind, each in contract.served.by_type.items() if kind != refers_to(field))
            put(sent, path, contract.of(other).named(1))
            assert (await invalid(contract.create(sent))).reasons == {path: "INVALID_RESOURCE_NAME"}

    @pytest.mark.traits("references")
    async def test_a_refused_create_leaves_nothing_behind(self, contract: Contract) -> None:
        """After a Create that was refused for a reference the List has no more than before."""
        for path, field in references(contract.facts.descriptor, contract.body):
            sent = await contract.sample()
            put(sent, path, target(contract, field).nothing)
            before = [each.name for each in await contract.everything()]
            await invalid(contract.create(sent))
            assert [each.name for each in await contract.everything()] == before

    @pytest.mark.traits("mutable references")
    @pytest.mark.verbs("Update")
    async def test_a_reference_may_change(self, contract: Contract) -> None:
        """An Update by mask lets a reference name another resource, or none where it is not REQUIRED."""
        for field in contract.facts.changing_references:
            before = await contract.create()
            change = await contract.change_of(before)
            after = await contract.update(change, field.name)
            assert getattr(after, field.name) == getattr(change, field.name) != getattr(before, field.name)
            assert await contract.get(before.name) == after
            if not behaves(field, REQUIRED):
                assert getattr(await contract.update(type(before)(name=before.name), field.name), field.name) == ""

    @pytest.mark.traits("mutable references")
    @pytest.mark.verbs("Update")
    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("{nothing}", "REFERENCE_NOT_FOUND"),
            ("{impossible}", "REFERENCE_NOT_FOUND"),
            ("things/1", "INVALID_RESOURCE_NAME"),
        ],
    )
    async def test_a_reference_does_not_change_to_nothing(self, contract: Contract, name: str, reason: str) -> None:
        """An Update to a name of nothing is INVALID_ARGUMENT on the field's path, by whichever mask."""
        for field in contract.facts.changing_references:
            before = await contract.create()
            change = await contract.replacement_of(before)
            to = target(contract, field)
            setattr(change, field.name, name.format(nothing=to.nothing, impossible=to.named("abc")))
            for mask in ((field.name,), ("*",), ()):
                assert (await invalid(contract.update(change, *mask))).reasons == {
                    f"{contract.body}.{field.name}": reason
                }
            assert await contract.get(before.name) == before
