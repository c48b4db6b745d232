"""Create, for every resource on every database (AIP-133)."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor

from tablestakes.crud.schema.behavior import IDENTIFIER, OUTPUT_ONLY, REQUIRED, behaves
from tests.contract.resource import Contract, told, unique_fields
from tests.contract.sample import spoil
from tests.status import refusal

pytestmark = pytest.mark.verbs("Create", "Get")


async def test_what_was_created_can_be_read(contract: Contract) -> None:
    """Get returns what Create returned, which holds every field that was sent."""
    sent = await contract.sample()
    created = await contract.create(sent)
    assert await contract.get(created.name) == created
    assert told(created) == told(sent)


async def test_what_may_be_left_out_stays_out(contract: Contract) -> None:
    """A resource without INPUT_ONLY fields, and without references that are not REQUIRED, is created as it is."""
    sent = await contract.sample(plain=True)
    created = await contract.create(sent)
    assert await contract.get(created.name) == created
    assert told(created) == told(sent)


async def test_what_callers_may_not_set_is_ignored(contract: Contract) -> None:
    """A name in the resource is ignored, and so is every OUTPUT_ONLY field, of its items too."""
    sent = await contract.sample()
    spoil(sent)
    sent.name = contract.named(1234567)
    created = await contract.create(sent)
    assert created.name != sent.name
    for item, spoilt in _with_items(created, sent):
        for field in item.DESCRIPTOR.fields:
            if behaves(field, OUTPUT_ONLY):
                assert getattr(item, field.name) != getattr(spoilt, field.name), field.name
    assert told(created) == told(sent)
    assert abs(created.create_time.ToDatetime(UTC) - datetime.now(UTC)).total_seconds() < 60
    assert created.update_time == created.create_time


def _with_items(message: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    """Yield two messages, and the messages that lie in them at the same places."""
    yield message, other
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated and field.message_type is not None:
            yield from zip(getattr(message, field.name), getattr(other, field.name), strict=True)


async def test_concurrent_creates_get_names_of_their_own(contract: Contract) -> None:
    """Resources that are created at the same time have different names, and all are kept."""
    samples = [await contract.sample(plain=True) for _ in range(20)]
    created = await asyncio.gather(*(contract.create(sent) for sent in samples))
    assert len({each.name for each in created}) == len(created)
    assert await asyncio.gather(*(contract.get(each.name) for each in created)) == created


@pytest.mark.traits("required")
async def test_required_fields_are_all_named_at_once(contract: Contract) -> None:
    """An empty resource is refused with the path of every field that is REQUIRED."""
    required = {f"{contract.body}.{f.name}" for f in contract.resource.descriptor.fields if behaves(f, REQUIRED)}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.create(contract.resource.message())
    refused = refusal(caught.value)
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    # An empty message that is sent is there: the request's own field is not among them.
    assert refused.fields.keys() == required


async def test_a_missing_resource_is_named(contract: Contract) -> None:
    """A Create without the resource is refused with the path of the request's field."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.call("Create", **(await contract.beside()))
    assert refusal(caught.value).fields == {contract.body: "must be set."}


@pytest.mark.traits("unique")
async def test_a_taken_value_names_its_fields(contract: Contract) -> None:
    """A second resource with the values of a unique constraint is ALREADY_EXISTS, by the paths of its fields."""
    first = await contract.create()
    for fields in unique_fields(contract.plan):
        second = await contract.sample()
        for field in fields:
            setattr(second, field, getattr(first, field))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await contract.create(second)
        refused = refusal(caught.value)
        assert refused.code is grpc.StatusCode.ALREADY_EXISTS
        assert set(refused.fields) == {f"{contract.body}.{field}" for field in fields}


async def test_a_nul_character_is_refused_by_field(contract: Contract) -> None:
    """Text with a NUL character, which PostgreSQL cannot keep, is refused on every database."""
    for field in contract.resource.descriptor.fields:
        if field.name in contract.plan.fields and _is_text(field):
            sent = await contract.sample()
            setattr(sent, field.name, getattr(sent, field.name) + "\0")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await contract.create(sent)
            assert list(refusal(caught.value).fields) == [f"{contract.body}.{field.name}"]


async def test_text_comes_back_as_it_was_sent(contract: Contract) -> None:
    """Letters of every script, quotes, % and backslashes are kept as they are, where the rules let them."""
    text = "Zoë 'O' \"%s\" \\ ; -- 雪 🦊"
    for field in contract.resource.descriptor.fields:
        if not _is_text(field):
            continue
        sent = await contract.sample()
        setattr(sent, field.name, text)
        try:
            created = await contract.create(sent)
        except grpc.aio.AioRpcError as error:
            refused = refusal(error)
            assert list(refused.fields) == [f"{contract.body}.{field.name}"]
        else:
            assert getattr(created, field.name) == getattr(contract.shown(sent), field.name)


def _is_text(field: FieldDescriptor) -> bool:
    """Return whether callers may set a field to one text."""
    text = field.type == field.TYPE_STRING and not field.is_repeated
    return text and not behaves(field, IDENTIFIER, OUTPUT_ONLY)


@pytest.mark.traits("chosen id")
async def test_a_chosen_id_is_the_last_part_of_the_name(contract: Contract) -> None:
    """The id that a Create chooses ends the name of what it creates."""
    beside = await contract.beside()
    created = await contract.create(**beside)
    assert created.name.rpartition("/")[2] == beside[f"{contract.body}_id"]


@pytest.mark.traits("chosen id")
async def test_a_chosen_id_that_is_taken_is_named(contract: Contract) -> None:
    """A second Create with the id of the first is ALREADY_EXISTS on the id's field, and changes nothing."""
    beside = await contract.beside()
    first = await contract.create(**beside)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.create(**beside)
    refused = refusal(caught.value)
    assert refused.code is grpc.StatusCode.ALREADY_EXISTS
    assert list(refused.fields) == [f"{contract.body}_id"]
    assert await contract.get(first.name) == first


@pytest.mark.traits("chosen id")
async def test_one_of_many_concurrent_creates_has_the_id(contract: Contract) -> None:
    """Of Creates with one id at the same time exactly one succeeds."""
    beside = await contract.beside()
    answers = await asyncio.gather(*(contract.create(**beside) for _ in range(8)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(refused) == 7
    assert {error.code() for error in refused} == {grpc.StatusCode.ALREADY_EXISTS}


@pytest.mark.traits("chosen id")
@pytest.mark.parametrize("key", ["", "-", "a b", "a/b", "a\n", "a\0b", "A", "é", "7", "x" * 5000])
async def test_a_chosen_id_that_is_none_is_refused(contract: Contract, key: str) -> None:
    """An id that is missing, or that no name may end in, is INVALID_ARGUMENT on the id's field alone."""
    sent, field = await contract.sample(), f"{contract.body}_id"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.call("Create", **{contract.body: sent, field: key})
    refused = refusal(caught.value)
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refused.fields) == [field]
    assert (refused.reasons[field] == "REQUIRED_FIELD") == (key == "")
