"""Fields that refer to other resources, for every resource that has any, on every database (AIP-122)."""

import re
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor

from tablestakes.crud.schema.behavior import IMMUTABLE, REQUIRED, behaves
from tests.contract.resource import BY_TYPE, Contract, references
from tests.contract.sample import refers_to
from tests.status import Refusal, refusal

pytestmark = pytest.mark.verbs("Create", "Get")
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
    return contract.of(BY_TYPE[refers_to(field)])


async def told(call: Any) -> Refusal:
    """Return what a call is told that must be INVALID_ARGUMENT."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    refused = refusal(caught.value)
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    return refused


@pytest.mark.traits("references")
async def test_a_reference_to_nothing_is_refused_by_its_path(contract: Contract) -> None:
    """A name of what does not exist is INVALID_ARGUMENT on the path of the field, or of the item."""
    for path, field in references(contract.resource.descriptor, contract.body):
        sent = await contract.sample()
        put(sent, path, target(contract, field).nothing)
        assert (await told(contract.create(sent))).reasons == {path: "REFERENCE_NOT_FOUND"}


@pytest.mark.traits("references")
@pytest.mark.parametrize("key", ["nothing\0", "9223372036854775808"])
async def test_a_reference_to_what_cannot_be_is_refused_by_its_path(contract: Contract, key: str) -> None:
    """A name with an id that no resource can have is INVALID_ARGUMENT in the same way."""
    for path, field in references(contract.resource.descriptor, contract.body):
        sent = await contract.sample()
        put(sent, path, target(contract, field).named(key))
        assert (await told(contract.create(sent))).reasons == {path: "REFERENCE_NOT_FOUND"}


@pytest.mark.traits("references")
@pytest.mark.parametrize("name", ["x", "things/1", "{0}/", "/{0}", "{0}\n", "//marketplace.example.com/{0}"])
async def test_a_reference_of_another_form_is_refused_by_its_path(contract: Contract, name: str) -> None:
    """What is not a name of the type that a field refers to is INVALID_ARGUMENT on its path."""
    for path, field in references(contract.resource.descriptor, contract.body):
        sent = await contract.sample()
        put(sent, path, name.format(target(contract, field).named(1)))
        assert (await told(contract.create(sent))).reasons == {path: "INVALID_RESOURCE_NAME"}


@pytest.mark.traits("references")
async def test_a_reference_to_another_type_is_refused_by_its_path(contract: Contract) -> None:
    """The name of a resource of another type is INVALID_ARGUMENT on the path of the field."""
    for path, field in references(contract.resource.descriptor, contract.body):
        sent = await contract.sample()
        kind = next(kind for kind in BY_TYPE if kind != refers_to(field))
        put(sent, path, contract.of(BY_TYPE[kind]).named(1))
        assert (await told(contract.create(sent))).reasons == {path: "INVALID_RESOURCE_NAME"}


@pytest.mark.traits("references")
async def test_a_refused_create_leaves_nothing_behind(contract: Contract) -> None:
    """After a Create that was refused for a reference the List has no more than before."""
    for path, field in references(contract.resource.descriptor, contract.body):
        sent = await contract.sample()
        put(sent, path, target(contract, field).nothing)
        before = [each.name for each in await contract.everything()]
        await told(contract.create(sent))
        assert [each.name for each in await contract.everything()] == before


@pytest.mark.traits("mutable references")
@pytest.mark.verbs("Update")
async def test_a_reference_may_change(contract: Contract) -> None:
    """An Update by mask lets a reference name another resource, or none where it is not REQUIRED."""
    for field in _changing(contract):
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
async def test_a_reference_does_not_change_to_nothing(contract: Contract, name: str, reason: str) -> None:
    """An Update to a name of nothing is INVALID_ARGUMENT on the field's path, by whichever mask."""
    for field in _changing(contract):
        before = await contract.create()
        change = await contract.replacement_of(before)
        to = target(contract, field)
        setattr(change, field.name, name.format(nothing=to.nothing, impossible=to.named("abc")))
        for mask in ((field.name,), ("*",), ()):
            assert (await told(contract.update(change, *mask))).reasons == {f"{contract.body}.{field.name}": reason}
        assert await contract.get(before.name) == before


def _changing(contract: Contract) -> list[FieldDescriptor]:
    return [
        field
        for field in contract.resource.descriptor.fields
        if field.name in contract.plan.fields and refers_to(field) and not behaves(field, IMMUTABLE)
    ]


def _lists(contract: Contract) -> list[tuple[str, Contract]]:
    """Return the fields that hold many names, each with the contract of what they refer to."""
    fields = contract.resource.descriptor.fields_by_name
    return [
        (name, target(contract, fields[name])) for name, each in contract.plan.collections.items() if each.target
    ]


async def _some(to: Contract, count: int) -> list[str]:
    return [(await to.create(plain=True)).name for _ in range(count)]


@pytest.mark.traits("names")
async def test_the_second_of_many_names_is_refused_by_its_index(contract: Contract) -> None:
    """Of many names the one at fault is told by its index: what is not there, cannot be, or is no name."""
    for field, to in _lists(contract):
        (known,) = await _some(to, 1)
        path = f"{contract.body}.{field}[1]"
        for name, reason in (
            (to.nothing, "REFERENCE_NOT_FOUND"),
            (to.named("a\0"), "REFERENCE_NOT_FOUND"),
            ("things/1", "INVALID_RESOURCE_NAME"),
        ):
            sent = await contract.sample()
            getattr(sent, field)[:] = [known, name]
            assert (await told(contract.create(sent))).reasons == {path: reason}
        getattr(sent, field)[:] = [known, ""]
        assert list((await told(contract.create(sent))).fields) == [path]


@pytest.mark.traits("names")
async def test_many_names_come_back_in_one_order(contract: Contract) -> None:
    """Names that were sent in any order are all returned, each once and always in the same order."""
    for field, to in _lists(contract):
        names = await _some(to, 4)
        for sent_names in (names, names[::-1], [names[2], names[0], names[3], names[1]]):
            sent = await contract.sample()
            getattr(sent, field)[:] = sent_names
            created = await contract.create(sent)
            assert getattr(created, field) == names
            assert await contract.get(created.name) == created


@pytest.mark.traits("names")
async def test_a_name_that_is_sent_twice_is_refused(contract: Contract) -> None:
    """A name twice in one list, which says that it has none twice, is INVALID_ARGUMENT on the list."""
    for field, to in _lists(contract):
        (name,) = await _some(to, 1)
        sent = await contract.sample()
        getattr(sent, field)[:] = [name, name]
        assert (await told(contract.create(sent))).reasons == {f"{contract.body}.{field}": "REPEATED_UNIQUE"}


@pytest.mark.traits("names")
@pytest.mark.verbs("Update")
async def test_many_names_are_replaced_and_emptied_by_mask(contract: Contract) -> None:
    """An Update by mask replaces all the names of a list, or empties it, and moves update_time each time."""
    for field, to in _lists(contract):
        before = await contract.create()
        old, new = list(getattr(before, field)), await _some(to, 2)
        for names in (new, [*new, old[0]], old, []):
            change = type(before)(name=before.name)
            getattr(change, field).extend(names)
            after = await contract.update(change, field)
            assert sorted(getattr(after, field)) == sorted(names)
            assert await contract.get(before.name) == after
            assert after.update_time.ToNanoseconds() > before.update_time.ToNanoseconds()
            before = after


@pytest.mark.traits("names")
@pytest.mark.verbs("Update")
async def test_many_names_stay_where_they_are_not_written(contract: Contract) -> None:
    """An Update whose mask does not name a list, or that has no mask and no names, leaves the list as it is."""
    for field, _ in _lists(contract):
        before = await contract.create()
        other = next(name for name in contract.changeable if name != field)
        change = await contract.change_of(before)
        assert getattr(await contract.update(change, other), field) == getattr(before, field)
        change = await contract.replacement_of(before)
        change.ClearField(field)
        assert getattr(await contract.update(change), field) == getattr(before, field)
        assert getattr(await contract.update(change, "*"), field) == []


@pytest.mark.traits("names")
@pytest.mark.verbs("Update")
async def test_a_refused_list_changes_nothing(contract: Contract) -> None:
    """An Update with a name of nothing in a list writes no field at all, and is told the name's index."""
    for field, to in _lists(contract):
        before = await contract.create()
        change = await contract.replacement_of(before)
        getattr(change, field)[1] = to.nothing
        for mask in ((field,), tuple(contract.changeable), ("*",), ()):
            refused = await told(contract.update(change, *mask))
            assert refused.reasons == {f"{contract.body}.{field}[1]": "REFERENCE_NOT_FOUND"}
            assert await contract.get(before.name) == before


@pytest.mark.traits("names")
@pytest.mark.verbs("Delete")
async def test_a_deleted_resource_lets_go_of_its_names(contract: Contract) -> None:
    """What only a deleted resource had in its list can be deleted too."""
    for field, to in _lists(contract):
        created = await contract.create()
        await contract.call("Delete", name=created.name)
        for name in getattr(created, field):
            await to.call("Delete", name=name)
