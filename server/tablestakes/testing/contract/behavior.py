"""Fields that only Create may set, and fields that are never told, for every resource that has any (AIP-203)."""

from typing import Any

import pytest
from google.protobuf.message import Message
from sqlalchemy import Connection, select

from tablestakes.app import App
from tablestakes.crud.schema.behavior import IMMUTABLE, INPUT_ONLY
from tablestakes.testing.contract.common import (
    SESSION_LOOP,
    check_later,
    check_same_but,
    invalid,
    not_found,
    refused,
)
from tablestakes.testing.resource import Contract, copy_fields, value_of


async def changed(contract: Contract, before: Any, field: str) -> Any:
    """Return a resource with another value in one field."""
    change = contract.shown(before)
    copy_fields(await contract.sample(), change, [field])
    if value_of(change, field) == value_of(before, field):
        # Some types have one sample only.
        change.ClearField(field)
    return change


def _is_kept(contract: Contract, field: str, sent: Any, kept: Any) -> bool:
    """Return whether a column has what was sent, or what is made of it and is not it."""
    value = getattr(sent, field)
    if isinstance(value, Message) or contract.facts.descriptor.fields_by_name[field].is_repeated:
        # What its column has depends on the column's type.
        return kept is not None
    return kept is not None and (kept != value) == (field in contract.resource.transform)


async def kept_in(contract: Contract, app: App, name: str, field: str) -> Any:
    """Return what the column of a field has."""
    statement = select(*contract.facts.columns(field)).where(contract.names.where(name))

    def read(connection: Connection) -> Any:
        return connection.execute(statement).one()[0]

    return await app.database.run(read)


@SESSION_LOOP
@pytest.mark.verbs("Get", "Update")
class TestBehavior:
    """Fields that only Create may set, and fields that are never told, for every resource with any (AIP-203)."""

    @pytest.mark.behaviors(IMMUTABLE)
    @pytest.mark.parametrize("mask", ["{0}", "{1},{0}", "*", ""])
    async def test_what_is_immutable_cannot_be_changed(self, contract: Contract, mask: str) -> None:
        """A new value is INVALID_ARGUMENT on its path, by whichever mask, and nothing is written."""
        for field in contract.having(IMMUTABLE):
            before = await contract.create()
            change = await changed(contract, await changed(contract, before, contract.changeable[0]), field)
            # An empty field is not written without a mask, and a REQUIRED one is refused for being empty.
            copy_fields(await contract.sample(), change, contract.having(INPUT_ONLY))
            if mask == "" and field not in {descriptor.name for descriptor, _ in change.ListFields()}:
                continue
            paths = filter(None, mask.format(field, contract.changeable[0]).split(","))
            answer = await invalid(contract.update(change, *paths))
            assert answer.fields == {f"{contract.body}.{field}": "cannot be changed."}
            assert answer.reasons == {f"{contract.body}.{field}": "IMMUTABLE_FIELD"}
            assert await contract.get(before.name) == before

    @pytest.mark.behaviors(IMMUTABLE)
    async def test_every_immutable_field_is_named_at_once(self, contract: Contract) -> None:
        """An Update of all IMMUTABLE fields is answered once, with all of them."""
        before = await contract.create()
        change, fields = before, contract.having(IMMUTABLE)
        for field in fields:
            change = await changed(contract, change, field)
        answer = await refused(contract.update(change, *fields))
        assert set(answer.fields) == {f"{contract.body}.{field}" for field in fields}

    @pytest.mark.behaviors(IMMUTABLE)
    async def test_what_is_immutable_may_be_sent_as_it_is(self, contract: Contract) -> None:
        """The value that an IMMUTABLE field has is accepted: alone it changes nothing, with others they change."""
        fields, other = contract.having(IMMUTABLE), contract.changeable[0]
        before = await contract.create()
        assert await contract.update(before, *fields) == before
        change = await contract.replacement_of(before)
        after = await contract.update(change, *fields, other)
        assert value_of(after, other) == value_of(contract.shown(change), other)
        check_later(before, after)
        check_same_but(before, after, other)

    @pytest.mark.behaviors(IMMUTABLE)
    async def test_what_is_immutable_of_nothing_is_not_found(self, contract: Contract) -> None:
        """An Update of an IMMUTABLE field is NOT_FOUND where there is no such resource."""
        change = await contract.sample()
        change.name = contract.nothing
        await not_found(contract.update(change, *contract.having(IMMUTABLE)))

    @pytest.mark.behaviors(INPUT_ONLY)
    @pytest.mark.verbs("Create", "Get", "Update", "List")
    async def test_what_is_input_only_is_in_no_response(self, contract: Contract) -> None:
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
    async def test_what_is_input_only_is_kept(self, contract: Contract, app: App) -> None:
        """The table has what was sent in an INPUT_ONLY field, by Create and by Update, which moves update_time."""
        for field in contract.having(INPUT_ONLY):
            sent = await contract.sample()
            created = await contract.create(sent)
            assert _is_kept(contract, field, sent, await kept_in(contract, app, created.name, field))
            change = await contract.change_of(created)
            after = await contract.update(change, field)
            check_later(created, after)
            assert _is_kept(contract, field, change, await kept_in(contract, app, created.name, field))
