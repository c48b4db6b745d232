"""Deleting what others depend on, for every resource on every database (AIP-135)."""

from collections.abc import Mapping
from typing import Any

import grpc
import pytest

from tablestakes.testing.contract.common import (
    SESSION_LOOP,
    check_deleted,
    not_found,
    purge,
    refused,
    remove,
)
from tablestakes.testing.resource import Contract


def children(contract: Contract, parent: str) -> list[Contract]:
    """Return the contracts of what may be below a resource."""
    return [contract.of(each, parent) for each in contract.served.children(contract.facts)]


def names_for(contract: Contract, name: str) -> Mapping[str, str]:
    """Return by which names, by type, to refer to a resource or to a singleton of it."""
    singletons = contract.served.singletons(contract.facts)
    return {contract.facts.kind: name} | {each.kind: contract.of(each).below(name) for each in singletons}


async def descendants(contract: Contract, parent: str) -> list[tuple[Contract, str]]:
    """Create two resources of each kind below a resource, and so on below the first of them; return all of them."""
    made = []
    for child in children(contract, parent):
        first, second = [(await child.create(plain=True)).name for _ in range(2)]
        made += [(child, first), (child, second), *await descendants(child, first)]
    return made


async def kept(contract: Contract, name: str, **fields: Any) -> tuple[grpc.StatusCode, str]:
    """Return the code and the reason of a Delete, which must fail, and check that the resource is still there."""
    before = await contract.get(name)
    answer = await refused(contract.call("Delete", name=name, **fields))
    assert answer.info.metadata["resource"] == name
    assert await contract.get(name) == before
    return answer.code, answer.info.reason


@SESSION_LOOP
@pytest.mark.verbs("Create", "Get", "Delete")
class TestForce:
    """Deleting what others depend on, for every resource on every database (AIP-135)."""

    @pytest.mark.traits("children")
    async def test_a_parent_with_children_is_not_deleted(self, contract: Contract) -> None:
        """A Delete of what has resources below it is FAILED_PRECONDITION, and none of them is gone."""
        parent = await contract.create(plain=True)
        for child in children(contract, parent.name):
            below = await child.create(plain=True)
            assert await kept(contract, parent.name) == (grpc.StatusCode.FAILED_PRECONDITION, "HAS_CHILDREN")
            assert await child.get(below.name) == below
            await child.call("Delete", name=below.name)
        await contract.call("Delete", name=parent.name)
        await check_deleted(contract, parent.name)

    @pytest.mark.traits("children", "force")
    async def test_force_deletes_what_is_below(self, contract: Contract) -> None:
        """A Delete with force deletes the resource and all below it at any depth, and nothing below another.

        Below what can be restored, what cannot stays to be read, and goes when the other is removed for good.
        """
        parent, other = await contract.create(plain=True), await contract.create(plain=True)
        mine, others = await descendants(contract, parent.name), await descendants(contract, other.name)
        await contract.call("Delete", name=parent.name, force=True)
        await check_deleted(contract, parent.name)
        for child, name in mine:
            if child.facts.deletes_softly or not contract.facts.deletes_softly:
                await check_deleted(child, name)
            else:
                assert (await child.get(name)).name == name
        if contract.facts.deletes_softly:
            await purge(contract, f'name = "{parent.name}"')
            for each, name in ((contract, parent.name), *mine):
                await not_found(each.get(name))
        for child, name in others:
            assert (await child.get(name)).name == name

    @pytest.mark.traits("force")
    async def test_force_without_need_is_a_delete(self, contract: Contract) -> None:
        """A Delete with force of what has nothing below it is as one without, and NOT_FOUND for nothing."""
        created = await contract.create(plain=True)
        await contract.call("Delete", name=created.name, force=True)
        await not_found(contract.call("Delete", name=created.name, force=True))

    @pytest.mark.traits("referred to")
    async def test_what_is_referred_to_is_not_deleted(self, contract: Contract) -> None:
        """A Delete of what another resource refers to, by whichever field, is FAILED_PRECONDITION."""
        for other in map(contract.of, contract.served.referring(contract.facts)):
            created = await contract.create(plain=True)
            refers = await other.create(await other.sample(names_for(contract, created.name)))
            assert await kept(contract, created.name) == (grpc.StatusCode.FAILED_PRECONDITION, "RESOURCE_IN_USE")
            assert await other.get(refers.name) == refers

    @pytest.mark.traits("referred to", "children", "force")
    async def test_force_deletes_nothing_where_something_is_referred_to(self, contract: Contract) -> None:
        """A Delete with force of what another resource refers to deletes nothing, not even what is below it."""
        below_it = contract.served.children(contract.facts)
        for facts in contract.served.referring(contract.facts):
            if facts in below_it:
                continue
            created = await contract.create(plain=True)
            below = await descendants(contract, created.name)
            other = contract.of(facts)
            await other.create(await other.sample(names_for(contract, created.name)))
            failed = grpc.StatusCode.FAILED_PRECONDITION
            assert await kept(contract, created.name, force=True) == (failed, "RESOURCE_IN_USE")
            for child, name in below:
                assert (await child.get(name)).name == name

    @pytest.mark.traits("referred to")
    @pytest.mark.verbs("Delete")
    async def test_what_is_no_longer_referred_to_is_deleted(self, contract: Contract) -> None:
        """A Delete succeeds once what referred to the resource is gone."""
        for other in map(contract.of, contract.served.referring(contract.facts)):
            if "Delete" in other.facts.methods:
                created = await contract.create(plain=True)
                refers = await other.create(await other.sample(names_for(contract, created.name)))
                # To what is deleted for good, what can be restored is a reference like any other.
                if contract.facts.deletes_softly:
                    await other.call("Delete", name=refers.name)
                else:
                    await remove(other, refers.name)
                await contract.call("Delete", name=created.name)
                await check_deleted(contract, created.name)
