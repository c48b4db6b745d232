"""Singletons: what is there exactly once for each parent, for every such resource on every database (AIP-156)."""

import asyncio
from typing import Any

import grpc
import pytest

from tablestakes.testing.contract.common import (
    CHANGING,
    SESSION_LOOP,
    check_later,
    not_found,
    refused,
    remove,
)
from tablestakes.testing.resource import Contract, told, value_of


@SESSION_LOOP
@pytest.mark.verbs("Get")
@pytest.mark.traits("singleton")
class TestSingleton:
    """Singletons: one for each parent, for every such resource on every database (AIP-156)."""

    async def test_it_is_there_as_soon_as_its_parent(self, contract: Contract) -> None:
        """Before anything is written Get returns the defaults, as old as the parent."""
        parent = await contract.above.create(plain=True)
        found = await contract.get(contract.below(parent.name))
        assert found.name == contract.below(parent.name)
        for time in {"create_time", "update_time"}.intersection(found.DESCRIPTOR.fields_by_name):
            if "create_time" in parent.DESCRIPTOR.fields_by_name:
                assert getattr(found, time) == parent.create_time
        for field in contract.facts.descriptor.fields:
            if field.name not in ("name", "create_time", *CHANGING) and not contract.facts.has_default(field.name):
                assert field.name not in {each.name for each, _ in found.ListFields()}

    async def test_it_is_not_there_without_its_parent(self, contract: Contract) -> None:
        """Get of a parent's that does not exist, or no longer does, is NOT_FOUND by the name."""
        parent = await contract.new_parent()
        await remove(contract.above, parent)
        for name in (contract.nothing, contract.named("-1"), contract.named("-"), contract.below(parent)):
            answer = await refused(contract.get(name))
            assert answer.code is grpc.StatusCode.NOT_FOUND
            assert answer.info.metadata["resource"] == name

    @pytest.mark.verbs("Update")
    async def test_what_is_written_is_read(self, contract: Contract) -> None:
        """The first Update makes what Get returns, and so does the next; create_time stays what it was."""
        before = await contract.create()
        made = before
        for _ in range(2):
            change = await contract.change_of(before)
            after = await contract.update(change, "*")
            assert told(after) == told(change)
            if "create_time" in after.DESCRIPTOR.fields_by_name:
                assert after.create_time == before.create_time
            check_later(made, after)
            assert await contract.get(before.name) == after
            made = after

    @pytest.mark.verbs("Update")
    async def test_the_first_update_leaves_the_rest_at_its_default(self, contract: Contract) -> None:
        """A first Update of one field writes that one, and every other is what it was before it."""
        for field in contract.changeable:
            before = await contract.create()
            change = await contract.change_of(before)
            after = await contract.update(change, field)
            assert told(after) == told(before) | {field: value_of(change, field)}

    @pytest.mark.verbs("Update")
    async def test_an_update_of_nothing_writes_nothing(self, contract: Contract) -> None:
        """An Update that selects no field returns what is there, the defaults at first, and moves no time."""
        before = await contract.create()
        assert await contract.update(type(before)(name=before.name)) == before
        assert await contract.update(before, *contract.facts.read_only) == before
        assert await contract.get(before.name) == before

    @pytest.mark.verbs("Update")
    async def test_concurrent_first_updates_all_succeed(self, contract: Contract) -> None:
        """Of first Updates at the same time each succeeds, and one of them is what is read after."""
        # More than once: calls that do not meet prove nothing.
        for _ in range(6):
            before = await contract.create()
            changes = [await contract.change_of(before) for _ in range(8)]
            answers: list[Any] = await asyncio.gather(*(contract.update(change, "*") for change in changes))
            assert [told(answer) for answer in answers] == [told(change) for change in changes]
            assert await contract.get(before.name) in answers

    @pytest.mark.verbs("Update")
    async def test_an_update_without_a_parent_is_not_found(self, contract: Contract) -> None:
        """An Update below a parent that does not exist, or cannot, is NOT_FOUND."""
        change = await contract.sample()
        for name in (contract.nothing, contract.named("-1"), contract.named("-")):
            change.name = name
            for mask in (("*",), (), contract.facts.read_only, (contract.changeable[0],)):
                await not_found(contract.update(change, *mask))

    @pytest.mark.verbs("Update")
    async def test_an_update_by_a_name_of_another_form_is_refused(self, contract: Contract) -> None:
        """An Update by what is not the singleton's name is INVALID_ARGUMENT on the name's path."""
        parent = await contract.new_parent()
        change = await contract.sample()
        for name in (parent, f"{contract.below(parent)}/1", f"{contract.below(parent)}s", f"{parent}/"):
            change.name = name
            assert list((await refused(contract.update(change))).fields) == [f"{contract.body}.name"]

    @pytest.mark.verbs("Update")
    async def test_it_goes_with_its_parent(self, contract: Contract) -> None:
        """A parent with a singleton that was written is deleted without force, and the singleton can no longer be.

        That of a parent that can be restored is there to be read until the parent is removed for good.
        """
        parent = await contract.new_parent()
        change = await contract.sample()
        change.name = contract.below(parent)
        written = await contract.update(change)
        await contract.above.call("Delete", name=parent)
        if contract.above.facts.deletes_softly:
            for etag in ("", written.etag):
                change.etag = etag
                for mask in ((), ("*",), contract.facts.read_only):
                    await not_found(contract.update(change, *mask))
            assert await contract.get(change.name) == written
            await contract.above.call("Undelete", name=parent)
            assert await contract.get(change.name) == written
            await remove(contract.above, parent)
        await not_found(contract.get(change.name))
