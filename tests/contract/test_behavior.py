"""Fields that only Create may set, and fields that are never told, for every resource that has any (AIP-203)."""

from typing import Any

import grpc
import pytest
from argon2 import PasswordHasher
from sqlalchemy import Connection, select

from tablestakes.app import App
from tablestakes.crud.schema.behavior import IMMUTABLE, INPUT_ONLY
from tests.contract.resource import SERVED, Contract, copy_fields
from tests.status import refusal

pytestmark = pytest.mark.verbs("Get", "Update")


async def changed(contract: Contract, before: Any, field: str) -> Any:
    """Return a resource with another value in one field."""
    change = contract.shown(before)
    copy_fields(await contract.sample(), change, [field])
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
        change = await changed(contract, await changed(contract, before, contract.changeable[0]), field)
        # What is empty is not written without a mask, and is refused for its own sake where it is REQUIRED.
        copy_fields(await contract.sample(), change, contract.having(INPUT_ONLY))
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
        change = await changed(contract, change, field)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.update(change, *fields)
    assert set(refusal(caught.value).fields) == {f"{contract.body}.{field}" for field in fields}


@pytest.mark.behaviors(IMMUTABLE)
async def test_what_is_immutable_may_be_sent_as_it_is(contract: Contract) -> None:
    """The value that an IMMUTABLE field has is accepted: alone it changes nothing, with others they change."""
    fields, other = contract.having(IMMUTABLE), contract.changeable[0]
    before = await contract.create()
    assert await contract.update(before, *fields) == before
    change = await contract.replacement_of(before)
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
    change = await contract.sample()
    change.name = contract.nothing
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.update(change, *contract.having(IMMUTABLE))
    assert refusal(caught.value).code is grpc.StatusCode.NOT_FOUND


@pytest.mark.behaviors(INPUT_ONLY)
@pytest.mark.verbs("Create", "Get", "Update", "List")
async def test_what_is_input_only_is_in_no_response(contract: Contract) -> None:
    """An INPUT_ONLY field that was sent is empty in what every method returns."""
    fields = contract.having(INPUT_ONLY)
    created = await contract.create()
    change = await contract.replacement_of(created)
    listed = await contract.everything()
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
        sent = await contract.sample()
        created = await contract.create(sent)
        assert _is_kept(contract, field, sent, await _kept(contract, app, created.name, field))
        change = await contract.change_of(created)
        after = await contract.update(change, field)
        assert after.update_time.ToNanoseconds() > created.update_time.ToNanoseconds()
        assert _is_kept(contract, field, change, await _kept(contract, app, created.name, field))


async def test_a_password_is_kept_as_its_hash(channel: grpc.aio.Channel, app: App) -> None:
    """What the table has of a password is an argon2id hash with a salt of its own, made again by each Update."""
    users = Contract(SERVED["User"], channel)
    kept = []
    for _ in range(2):
        sent = await users.sample()
        sent.password = "one and the same password"
        created = await users.create(sent)
        kept.append(await _kept(users, app, created.name, "password"))
    await users.update(type(sent)(name=created.name, password=sent.password), "password")
    kept.append(await _kept(users, app, created.name, "password"))
    assert len(set(kept)) == 3
    for value in kept:
        assert value.startswith("$argon2id$")
        assert PasswordHasher().verify(value, sent.password)


async def test_a_password_that_is_cleared_is_none(channel: grpc.aio.Channel, app: App) -> None:
    """A password that is left out is kept as nothing, by Create and by an Update whose mask names it."""
    users = Contract(SERVED["User"], channel)
    plain = await users.create(plain=True)
    assert await _kept(users, app, plain.name, "password") is None
    created = await users.create()
    await users.update(type(created)(name=created.name), "password")
    assert await _kept(users, app, created.name, "password") is None


def _is_kept(contract: Contract, field: str, sent: Any, kept: Any) -> bool:
    """Return whether a column has what was sent, or what is made of it and is not it."""
    value = contract.plan.fields[field].value(sent, "")
    return kept is not None and (kept != value) == (field in contract.plan.encoders)


async def _kept(contract: Contract, app: App, name: str, field: str) -> Any:
    """Return what the column of a field has."""
    plan = contract.plan
    statement, parameters = select(plan.fields[field].column).where(plan.has_name()), plan.names.parse(name, "name")

    def read(connection: Connection) -> Any:
        return connection.execute(statement, parameters).one()[0]

    return await app.database.run(read)
