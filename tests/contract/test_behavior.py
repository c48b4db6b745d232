"""Fields that only Create may set, and fields that are never told, for every resource that has any (AIP-203)."""

from typing import Any

import grpc
import pytest
from sqlalchemy import select

from server.app import App
from server.crud.behavior import IMMUTABLE, INPUT_ONLY
from tests.contract.resource import Contract, copy_fields
from tests.status import refusal

pytestmark = pytest.mark.verbs("Create", "Get", "Update")


def changed(contract: Contract, before: Any, field: str) -> Any:
    """Return a resource with another value in one field."""
    change = contract.shown(before)
    copy_fields(contract.sample(), change, [field])
    if getattr(change, field) == getattr(before, field):
        # Of some types there is one sample only.
        change.ClearField(field)
    return change


@pytest.mark.behaviors(IMMUTABLE)
@pytest.mark.parametrize("mask", ["{0}", "{1},{0}", "*", ""])
async def test_what_is_immutable_cannot_be_changed(contract: Contract, mask: str) -> None:
    """A new value is INVALID_ARGUMENT on the field's path, by whichever mask, and nothing is written."""
    for field in contract.having(IMMUTABLE):
        before = await contract.create()
        change = changed(contract, changed(contract, before, contract.changeable[0]), field)
        # What is empty is not written without a mask, and is refused for its own sake where it is REQUIRED.
        copy_fields(contract.sample(), change, contract.having(INPUT_ONLY))
        if mask == "" and field not in {descriptor.name for descriptor, _ in change.ListFields()}:
            continue
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await contract.update(change, *filter(None, mask.format(field, contract.changeable[0]).split(",")))
        told = refusal(caught.value)
        assert told.code is grpc.StatusCode.INVALID_ARGUMENT
        assert told.fields == {f"{contract.body}.{field}": "cannot be changed."}
        assert told.reasons == {f"{contract.body}.{field}": "IMMUTABLE_FIELD"}
        assert await contract.get(before.name) == before


@pytest.mark.behaviors(IMMUTABLE)
async def test_every_immutable_field_is_named_at_once(contract: Contract) -> None:
    """An Update of all IMMUTABLE fields is answered once, with all of them."""
    before = await contract.create()
    change, fields = before, contract.having(IMMUTABLE)
    for field in fields:
        change = changed(contract, change, field)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.update(change, *fields)
    assert set(refusal(caught.value).fields) == {f"{contract.body}.{field}" for field in fields}


@pytest.mark.behaviors(IMMUTABLE)
async def test_what_is_immutable_may_be_sent_as_it_is(contract: Contract) -> None:
    """The value that an IMMUTABLE field has is accepted: alone it changes nothing, with others they change."""
    fields, other = contract.having(IMMUTABLE), contract.changeable[0]
    before = await contract.create()
    assert await contract.update(before, *fields) == before
    change = contract.replacement_of(before)
    after = await contract.update(change, *fields, other)
    assert getattr(after, other) == getattr(contract.shown(change), other)
    assert after.update_time.ToNanoseconds() > before.update_time.ToNanoseconds()
    for message in (before, after):
        message.ClearField(other)
        message.ClearField("update_time")
    assert after == before


@pytest.mark.behaviors(IMMUTABLE)
async def test_what_is_immutable_of_nothing_is_not_found(contract: Contract) -> None:
    """An Update of an IMMUTABLE field is NOT_FOUND where there is no such resource."""
    change = contract.sample()
    change.name = contract.plan.names.format((999_999_999,) * len(contract.plan.names.columns))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.update(change, *contract.having(IMMUTABLE))
    assert refusal(caught.value).code is grpc.StatusCode.NOT_FOUND


@pytest.mark.behaviors(INPUT_ONLY)
@pytest.mark.verbs("Create", "Get", "Update", "List")
async def test_what_is_input_only_is_in_no_response(contract: Contract) -> None:
    """An INPUT_ONLY field that was sent is empty in what every method returns."""
    fields = contract.having(INPUT_ONLY)
    created = await contract.create()
    change = contract.replacement_of(created)
    listed, _ = await contract.list(page_size=1000)
    assert created.name in {each.name for each in listed}
    responses = [
        created,
        await contract.get(created.name),
        *listed,
        await contract.update(change),
        await contract.update(change, *fields),
        await contract.update(change, "*"),
        # Nothing is written here: what is returned is what is read.
        await contract.update(change, "name"),
    ]
    for response in responses:
        assert {field.name for field, _ in response.ListFields()}.isdisjoint(fields)


@pytest.mark.behaviors(INPUT_ONLY)
async def test_what_is_input_only_is_kept(contract: Contract, app: App) -> None:
    """The table has what was sent in an INPUT_ONLY field, by Create and by Update, which moves update_time."""
    for field in contract.having(INPUT_ONLY):
        sent = contract.sample()
        created = await contract.create(sent)
        assert await _kept(contract, app, created.name, field) == contract.plan.fields[field].value(sent, "")
        change = contract.change_of(created)
        after = await contract.update(change, field)
        assert after.update_time.ToNanoseconds() > created.update_time.ToNanoseconds()
        assert await _kept(contract, app, created.name, field) == contract.plan.fields[field].value(change, "")


async def _kept(contract: Contract, app: App, name: str, field: str) -> Any:
    """Return what the column of a field has."""
    plan = contract.plan
    row = await app.database.fetch_one(
        select(plan.fields[field].column).where(plan.has_name()), plan.names.parse(name, "name")
    )
    assert row is not None
    return row[0]
