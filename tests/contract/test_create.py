"""Create, for every resource on every database (AIP-133)."""

import asyncio
from datetime import UTC, datetime

import grpc
import pytest
from sqlalchemy import UniqueConstraint

from server.crud.behavior import REQUIRED, behaves
from tests.contract.resource import Contract
from tests.status import refusal

pytestmark = pytest.mark.verbs("Create", "Get")


async def test_what_was_created_can_be_read(contract: Contract) -> None:
    """Get returns what Create returned, which holds every field that was sent."""
    sent = contract.sample()
    created = await contract.create(sent)
    assert await contract.get(created.name) == created
    shown = contract.shown(sent)
    for field in contract.plan.writable:
        assert getattr(created, field) == getattr(shown, field), field


async def test_the_name_is_the_servers_to_choose(contract: Contract) -> None:
    """A name in the resource is ignored, and so is an OUTPUT_ONLY field."""
    sent = contract.sample()
    sent.name = contract.plan.names.format(("1234567",) * len(contract.plan.names.columns))
    sent.create_time.seconds = 1
    created = await contract.create(sent)
    assert created.name != sent.name
    assert abs(created.create_time.ToDatetime(UTC) - datetime.now(UTC)).total_seconds() < 60
    assert created.update_time == created.create_time


async def test_concurrent_creates_get_names_of_their_own(contract: Contract) -> None:
    """Resources that are created at the same time have different names, and all are kept."""
    created = await asyncio.gather(*(contract.create() for _ in range(20)))
    assert len({each.name for each in created}) == len(created)
    assert await asyncio.gather(*(contract.get(each.name) for each in created)) == created


async def test_required_fields_are_all_named_at_once(contract: Contract) -> None:
    """An empty resource is refused with the path of every field that is REQUIRED."""
    required = {f"{contract.body}.{f.name}" for f in contract.resource.descriptor.fields if behaves(f, REQUIRED)}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.create(contract.resource.message())
    told = refusal(caught.value)
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    # The request's own field too: an empty message that is sent is there, and one that is not is not.
    assert required <= told.fields.keys()


async def test_a_missing_resource_is_named(contract: Contract) -> None:
    """A Create without the resource is refused with the path of the request's field."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.call("Create")
    assert refusal(caught.value).fields == {contract.body: "must be set."}


async def test_a_taken_value_names_its_fields(contract: Contract) -> None:
    """A second resource with the values of a unique constraint is ALREADY_EXISTS, by the paths of its fields."""
    first = await contract.create()
    for columns in contract.plan.constraints.values():
        fields = [name for name, field in contract.plan.fields.items() if field.column.name in columns]
        if len(fields) < len(columns) or not _is_unique(contract, columns):
            continue
        second = contract.sample()
        for field in fields:
            setattr(second, field, getattr(first, field))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await contract.create(second)
        told = refusal(caught.value)
        assert told.code is grpc.StatusCode.ALREADY_EXISTS
        assert set(told.fields) == {f"{contract.body}.{field}" for field in fields}


def _is_unique(contract: Contract, columns: tuple[str, ...]) -> bool:
    return any(
        isinstance(constraint, UniqueConstraint) and tuple(constraint.columns.keys()) == columns
        for constraint in contract.plan.table.constraints
    )


async def test_a_nul_character_is_refused_by_field(contract: Contract) -> None:
    """Text with a NUL character, which PostgreSQL cannot keep, is refused on every database."""
    for field in contract.resource.descriptor.fields:
        if field.name in contract.plan.writable and field.type == field.TYPE_STRING:
            sent = contract.sample()
            setattr(sent, field.name, getattr(sent, field.name) + "\0")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await contract.create(sent)
            assert list(refusal(caught.value).fields) == [f"{contract.body}.{field.name}"]


async def test_text_comes_back_as_it_was_sent(contract: Contract) -> None:
    """Letters of every script, quotes, % and backslashes are kept as they are, where the rules let them."""
    text = "Zoë 'O' \"%s\" \\ ; -- 雪 🦊"
    for field in contract.resource.descriptor.fields:
        if field.name not in contract.plan.writable or field.type != field.TYPE_STRING:
            continue
        sent = contract.sample()
        setattr(sent, field.name, text)
        try:
            created = await contract.create(sent)
        except grpc.aio.AioRpcError as error:
            told = refusal(error)
            assert list(told.fields) == [f"{contract.body}.{field.name}"]
        else:
            assert getattr(created, field.name) == getattr(contract.shown(sent), field.name)
