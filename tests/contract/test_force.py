"""Deleting what others depend on, for every resource on every database (AIP-135)."""

from collections.abc import Mapping
from typing import Any

import grpc
import pytest

from tablestakes.crud.schema.name import type_of
from tests.contract.resource import PLANS, SERVED, Contract, methods_of, referring
from tests.status import refusal

pytestmark = pytest.mark.verbs("Create", "Get", "Delete")


def children(contract: Contract, parent: str) -> list[Contract]:
    """Return the contracts of what may be below a resource."""
    below = {plan.descriptor.full_name for plan in contract.plan.children}
    return [contract.of(each, parent) for each in SERVED.values() if each.descriptor.full_name in below]


def names_for(contract: Contract, name: str) -> Mapping[str, str]:
    """Return by which names, by type, to refer to a resource or to a singleton of it."""
    names = {type_of(contract.resource.descriptor): name}
    for each in SERVED.values():
        own = PLANS[each.descriptor.full_name].names
        if own.singleton and own.parent is not None and own.parent.pattern == contract.plan.names.pattern:
            names[type_of(each.descriptor)] = contract.of(each).below(name)
    return names


async def told(contract: Contract, name: str, **fields: Any) -> tuple[grpc.StatusCode, str]:
    """Return what a Delete is told that must fail, and check that nothing is gone."""
    before = await contract.get(name)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.call("Delete", name=name, **fields)
    refused = refusal(caught.value)
    assert refused.info.metadata["resource"] == name
    assert await contract.get(name) == before
    return refused.code, refused.info.reason


async def gone(contract: Contract, name: str) -> bool:
    """Return whether a resource is not found."""
    try:
        await contract.get(name)
    except grpc.aio.AioRpcError as error:
        return refusal(error).code is grpc.StatusCode.NOT_FOUND
    return False


@pytest.mark.traits("children")
async def test_a_parent_with_children_is_not_deleted(contract: Contract) -> None:
    """A Delete of what has resources below it is FAILED_PRECONDITION, and none of them is gone."""
    parent = await contract.create(plain=True)
    for child in children(contract, parent.name):
        below = await child.create(plain=True)
        assert await told(contract, parent.name) == (grpc.StatusCode.FAILED_PRECONDITION, "HAS_CHILDREN")
        assert await child.get(below.name) == below
        await child.call("Delete", name=below.name)
    await contract.call("Delete", name=parent.name)
    assert await gone(contract, parent.name)


@pytest.mark.traits("children", "force")
async def test_force_deletes_what_is_below(contract: Contract) -> None:
    """A Delete with force deletes the resource and all that is below it, and nothing below another."""
    parent, other = await contract.create(plain=True), await contract.create(plain=True)
    pairs = [(child, await child.create(plain=True)) for child in children(contract, parent.name) for _ in range(2)]
    others = [(child, await child.create(plain=True)) for child in children(contract, other.name)]
    await contract.call("Delete", name=parent.name, force=True)
    assert await gone(contract, parent.name)
    for child, below in pairs:
        assert await gone(child, below.name)
    for child, below in others:
        assert await child.get(below.name) == below


@pytest.mark.traits("force")
async def test_force_without_need_is_a_delete(contract: Contract) -> None:
    """A Delete with force of what has nothing below it is as one without, and NOT_FOUND for nothing."""
    created = await contract.create(plain=True)
    await contract.call("Delete", name=created.name, force=True)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.call("Delete", name=created.name, force=True)
    assert refusal(caught.value).code is grpc.StatusCode.NOT_FOUND


@pytest.mark.traits("referred to")
async def test_what_is_referred_to_is_not_deleted(contract: Contract) -> None:
    """A Delete of what another resource refers to, by whichever field, is FAILED_PRECONDITION."""
    for name in referring(contract.resource):
        other = contract.of(name)
        created = await contract.create(plain=True)
        refers = await other.create(await other.sample(names_for(contract, created.name)))
        assert await told(contract, created.name) == (grpc.StatusCode.FAILED_PRECONDITION, "RESOURCE_IN_USE")
        assert await other.get(refers.name) == refers


@pytest.mark.traits("referred to", "children", "force")
async def test_force_deletes_nothing_where_something_is_referred_to(contract: Contract) -> None:
    """A Delete with force of what another resource refers to deletes nothing, not even what is below it."""
    below_it = {plan.descriptor.name for plan in contract.plan.children}
    for name in set(referring(contract.resource)) - below_it:
        created = await contract.create(plain=True)
        pairs = [(child, await child.create(plain=True)) for child in children(contract, created.name)]
        other = contract.of(name)
        await other.create(await other.sample(names_for(contract, created.name)))
        failed = grpc.StatusCode.FAILED_PRECONDITION
        assert await told(contract, created.name, force=True) == (failed, "RESOURCE_IN_USE")
        for child, below in pairs:
            assert await child.get(below.name) == below


@pytest.mark.traits("referred to")
@pytest.mark.verbs("Delete")
async def test_what_is_no_longer_referred_to_is_deleted(contract: Contract) -> None:
    """A Delete succeeds once what referred to the resource is gone."""
    for name in referring(contract.resource):
        other = contract.of(name)
        if "Delete" in methods_of(other.resource):
            created = await contract.create(plain=True)
            refers = await other.create(await other.sample(names_for(contract, created.name)))
            await other.call("Delete", name=refers.name)
            await contract.call("Delete", name=created.name)
            assert await gone(contract, created.name)
