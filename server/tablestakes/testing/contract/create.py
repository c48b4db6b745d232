"""Create, for every resource on every database (AIP-133)."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tablestakes.crud.schema.behavior import OUTPUT_ONLY, behaves
from tablestakes.testing.contract.common import (
    MINUTE,
    SESSION_LOOP,
    invalid,
    refused,
)
from tablestakes.testing.resource import Contract, copy_fields, told, value_of
from tablestakes.testing.sample import is_list_of_messages, settable, spoil
from tablestakes.testing.status import refusal


def _with_items(message: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    """Yield two messages, and the messages that lie in them at the same places."""
    yield message, other
    for field in message.DESCRIPTOR.fields:
        if is_list_of_messages(field):
            yield from zip(getattr(message, field.name), getattr(other, field.name), strict=True)


def _texts(message: Descriptor) -> list[FieldDescriptor]:
    """Return the fields that callers may set to one text."""
    return [field for field in settable(message) if field.type == field.TYPE_STRING and not field.is_repeated]


@SESSION_LOOP
@pytest.mark.verbs("Create", "Get")
class TestCreate:
    """Create, for every resource on every database (AIP-133)."""

    async def test_what_was_created_can_be_read(self, contract: Contract) -> None:
        """Get returns what Create returned, which holds every field that was sent."""
        sent = await contract.sample()
        created = await contract.create(sent)
        assert await contract.get(created.name) == created
        assert told(created) == told(sent)

    async def test_what_may_be_left_out_stays_out(self, contract: Contract) -> None:
        """A resource without INPUT_ONLY fields and without optional references is created as it is."""
        sent = await contract.sample(plain=True)
        created = await contract.create(sent)
        assert await contract.get(created.name) == created
        assert told(created) == told(sent)

    async def test_what_callers_may_not_set_is_ignored(self, contract: Contract) -> None:
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
        if "create_time" in created.DESCRIPTOR.fields_by_name:
            assert abs(created.create_time.ToDatetime(UTC) - datetime.now(UTC)).total_seconds() < MINUTE
        if {"create_time", "update_time"}.issubset(created.DESCRIPTOR.fields_by_name):
            assert created.update_time == created.create_time

    async def test_concurrent_creates_get_names_of_their_own(self, contract: Contract) -> None:
        """Resources that are created at the same time have different names, and all are kept."""
        samples = [await contract.sample(plain=True) for _ in range(8)]
        created = await asyncio.gather(*(contract.create(sent) for sent in samples))
        assert len({each.name for each in created}) == len(created)
        assert await asyncio.gather(*(contract.get(each.name) for each in created)) == created

    @pytest.mark.traits("required")
    async def test_required_fields_are_all_named_at_once(self, contract: Contract) -> None:
        """An empty resource is refused with the path of every field that is REQUIRED."""
        answer = await invalid(contract.create(contract.resource.message()))
        # An empty message that is sent is there: the request's own field is not among them.
        assert answer.fields.keys() == contract.facts.required()

    async def test_a_missing_resource_is_named(self, contract: Contract) -> None:
        """A Create without the resource is refused with the path of the request's field."""
        assert (await refused(contract.call("Create", **(await contract.beside())))).fields == {
            contract.body: "must be set."
        }

    @pytest.mark.traits("unique")
    async def test_a_taken_value_names_its_fields(self, contract: Contract) -> None:
        """A second resource with the values of a unique constraint is ALREADY_EXISTS, by its paths."""
        first = await contract.sample()
        await contract.create(first)
        for fields in contract.facts.unique:
            second = await contract.sample()
            copy_fields(first, second, fields)
            answer = await refused(contract.create(second))
            assert answer.code is grpc.StatusCode.ALREADY_EXISTS
            assert set(answer.fields) - {"parent"} == {f"{contract.body}.{field}" for field in fields}

    async def test_a_nul_character_is_refused_by_field(self, contract: Contract) -> None:
        """Text with a NUL character, which PostgreSQL cannot keep, is refused on every database."""
        for field in _texts(contract.facts.descriptor):
            sent = await contract.sample()
            setattr(sent, field.name, getattr(sent, field.name) + "\0")
            assert list((await refused(contract.create(sent))).fields) == [f"{contract.body}.{field.name}"]

    async def test_text_comes_back_as_it_was_sent(self, contract: Contract) -> None:
        """Letters of every script, quotes, % and backslashes are kept as they are, where the rules let them."""
        text = "Zoë 'O' \"%s\" \\ ; -- 雪 🦊"
        for field in _texts(contract.facts.descriptor):
            sent = await contract.sample()
            setattr(sent, field.name, text)
            try:
                created = await contract.create(sent)
            except grpc.aio.AioRpcError as error:
                answer = refusal(error)
                assert list(answer.fields) == [f"{contract.body}.{field.name}"]
            else:
                assert value_of(created, field) == value_of(contract.shown(sent), field)

    @pytest.mark.traits("chosen id")
    async def test_a_chosen_id_is_the_last_part_of_the_name(self, contract: Contract) -> None:
        """The id that a Create chooses ends the name of what it creates."""
        beside = await contract.beside()
        created = await contract.create(**beside)
        assert created.name.rpartition("/")[2] == beside[f"{contract.body}_id"]

    @pytest.mark.traits("chosen id")
    async def test_a_chosen_id_that_is_taken_is_named(self, contract: Contract) -> None:
        """A second Create with the id of the first is ALREADY_EXISTS on the id's field, and changes nothing."""
        beside = await contract.beside()
        first = await contract.create(**beside)
        answer = await refused(contract.create(**beside))
        assert answer.code is grpc.StatusCode.ALREADY_EXISTS
        assert list(answer.fields) == [f"{contract.body}_id"]
        assert await contract.get(first.name) == first

    @pytest.mark.traits("chosen id")
    async def test_one_of_many_concurrent_creates_has_the_id(self, contract: Contract) -> None:
        """Of Creates with one id at the same time exactly one succeeds."""
        beside = await contract.beside()
        answers = await asyncio.gather(*(contract.create(**beside) for _ in range(8)), return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
        assert len(refused) == 7
        assert {error.code() for error in refused} == {grpc.StatusCode.ALREADY_EXISTS}

    @pytest.mark.traits("chosen id")
    @pytest.mark.parametrize("key", ["", "-", "a b", "a/b", "a\n", "a\0b"])
    async def test_a_chosen_id_that_is_none_is_refused(self, contract: Contract, key: str) -> None:
        """An id that is missing, or that no name may end in, is INVALID_ARGUMENT on the id's field alone."""
        field = f"{contract.body}_id"
        beside = await contract.beside(**{field: key})
        answer = await invalid(contract.create(**beside))
        assert list(answer.fields) == [field]
        assert (answer.reasons[field] == "REQUIRED_FIELD") == (key == "")
