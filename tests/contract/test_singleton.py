"""Singletons: what is there exactly once for each parent, for every such resource on every database (AIP-156)."""

import asyncio
from typing import Any

import grpc
import pytest

from tests.contract.resource import Contract, told
from tests.status import refusal

pytestmark = [pytest.mark.verbs("Get"), pytest.mark.traits("singleton")]


async def test_it_is_there_as_soon_as_its_parent(contract: Contract) -> None:
    """Before anything is written Get returns the defaults, as old as the parent."""
    parent = await contract.above.create(plain=True)
    found = await contract.get(contract.below(parent.name))
    assert found.name == contract.below(parent.name)
    assert found.create_time == found.update_time == parent.create_time
    for field in contract.plan.parts:
        if field.name not in ("create_time", "update_time"):
            assert not field.is_set(found), field.name


async def test_it_is_not_there_without_its_parent(contract: Contract) -> None:
    """Get of a parent's that does not exist, or no longer does, is NOT_FOUND by the name."""
    parent = await contract.new_parent()
    await contract.above.call("Delete", name=parent)
    for name in (contract.nothing, contract.named("-1"), contract.named("-"), contract.below(parent)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await contract.get(name)
        refused = refusal(caught.value)
        assert refused.code is grpc.StatusCode.NOT_FOUND
        assert refused.info.metadata["resource"] == name


@pytest.mark.verbs("Update")
async def test_what_is_written_is_read(contract: Contract) -> None:
    """The first Update makes what Get returns, and so does the next; create_time stays what it was."""
    before = await contract.create()
    made = before
    for _ in range(2):
        change = await contract.change_of(before)
        after = await contract.update(change, "*")
        assert told(after) == told(change)
        assert after.create_time == before.create_time
        assert after.update_time.ToNanoseconds() > made.update_time.ToNanoseconds()
        assert await contract.get(before.name) == after
        made = after


@pytest.mark.verbs("Update")
async def test_the_first_update_leaves_the_rest_at_its_default(contract: Contract) -> None:
    """A first Update of one field writes that one, and every other is what it was before it."""
    for field in contract.changeable:
        before = await contract.create()
        change = await contract.change_of(before)
        after = await contract.update(change, field)
        assert told(after) == told(before) | {field: getattr(change, field)}


@pytest.mark.verbs("Update")
async def test_an_update_of_nothing_writes_nothing(contract: Contract) -> None:
    """An Update that selects no field returns what is there, the defaults at first, and moves no time."""
    before = await contract.create()
    assert await contract.update(type(before)(name=before.name)) == before
    assert await contract.update(before, "create_time") == before
    assert await contract.get(before.name) == before


@pytest.mark.verbs("Update")
async def test_concurrent_first_updates_all_succeed(contract: Contract) -> None:
    """Of first Updates at the same time each succeeds, and one of them is what is read after."""
    # More than once: calls that do not meet prove nothing.
    for _ in range(6):
        before = await contract.create()
        changes = [await contract.change_of(before) for _ in range(8)]
        answers: list[Any] = await asyncio.gather(*(contract.update(change, "*") for change in changes))
        assert [told(answer) for answer in answers] == [told(change) for change in changes]
        assert await contract.get(before.name) in answers


@pytest.mark.verbs("Update")
async def test_an_update_without_a_parent_is_not_found(contract: Contract) -> None:
    """An Update below a parent that does not exist, or cannot, is NOT_FOUND."""
    change = await contract.sample()
    for name in (contract.nothing, contract.named("-1"), contract.named("-")):
        change.name = name
        for mask in (("*",), (), ("create_time",), (contract.changeable[0],)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await contract.update(change, *mask)
            assert refusal(caught.value).code is grpc.StatusCode.NOT_FOUND


@pytest.mark.verbs("Update")
async def test_an_update_by_a_name_of_another_form_is_refused(contract: Contract) -> None:
    """An Update by what is not the singleton's name is INVALID_ARGUMENT on the name's path."""
    parent = await contract.new_parent()
    change = await contract.sample()
    for name in (parent, f"{contract.below(parent)}/1", f"{contract.below(parent)}s", f"{parent}/"):
        change.name = name
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await contract.update(change)
        assert list(refusal(caught.value).fields) == [f"{contract.body}.name"]


@pytest.mark.verbs("Update")
async def test_it_goes_with_its_parent(contract: Contract) -> None:
    """A parent with a singleton that was written is deleted without force, and the singleton is gone."""
    parent = await contract.new_parent()
    change = await contract.sample()
    change.name = contract.below(parent)
    await contract.update(change)
    await contract.above.call("Delete", name=parent)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.get(change.name)
    assert refusal(caught.value).code is grpc.StatusCode.NOT_FOUND
