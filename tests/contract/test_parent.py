"""What is below a parent, for every such resource on every database (AIP-122, AIP-132, AIP-133, AIP-159)."""

from typing import Any

import grpc
import pytest

from tests.contract.resource import MAX_PAGE, Contract
from tests.status import Refusal, refusal

pytestmark = pytest.mark.traits("parent")


async def refused(contract: Contract, verb: str, parent: str) -> Refusal:
    """Return what a Create or a List is told of a parent that is none."""
    call = contract.create(plain=True, parent=parent) if verb == "Create" else contract.page(parent=parent)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)


async def siblings(contract: Contract) -> tuple[Contract, list[str], list[str]]:
    """Return another parent's contract, and the names of two resources below each of the two parents."""
    other = contract.of(contract.resource, await contract.new_parent())
    # In turns, so that the two parents' children lie between each other.
    pairs = [[(await each.create(plain=True)).name for each in (contract, other)] for _ in range(2)]
    mine, others = ([pair[index] for pair in pairs] for index in (0, 1))
    return other, mine, others


def adopted(contract: Contract, name: str, other: Contract) -> str:
    """Return the name that a child would have under another parent."""
    return name.replace(contract.parent, other.parent, 1)


@pytest.mark.verbs("Create")
async def test_a_name_begins_with_its_parents(contract: Contract) -> None:
    """What is created below a parent has a name below the parent's."""
    created = await contract.create(plain=True)
    assert created.name.startswith(f"{contract.parent}/")
    assert created.name.count("/") == contract.plan.names.pattern.count("/")


@pytest.mark.verbs("Create", "List")
@pytest.mark.parametrize("verb", ["Create", "List"])
@pytest.mark.parametrize("key", [999_999_999, "abc", "007", "-1", "99999999999999999999"])
async def test_a_parent_that_is_not_there_is_not_found(contract: Contract, verb: str, key: object) -> None:
    """A parent that does not exist, and one that cannot, is NOT_FOUND by its name."""
    parent = contract.above.named(key)
    told = await refused(contract, verb, parent)
    assert told.code is grpc.StatusCode.NOT_FOUND
    assert told.info.metadata["resource"] == parent


@pytest.mark.verbs("Create")
async def test_nothing_is_created_below_every_parent(contract: Contract) -> None:
    """A Create below `-` is NOT_FOUND: it stands for all parents, and is none."""
    assert (await refused(contract, "Create", contract.above.named("-"))).code is grpc.StatusCode.NOT_FOUND


@pytest.mark.verbs("Create", "List")
@pytest.mark.parametrize("verb", ["Create", "List"])
@pytest.mark.parametrize("parent", ["things/1", "x", "{0}/", "/{0}", "{0}\n", "{0}/more/1", "-", "-/-"])
async def test_a_parent_of_another_form_is_refused(contract: Contract, verb: str, parent: str) -> None:
    """A parent that is not of the pattern is INVALID_ARGUMENT on `parent`."""
    told = await refused(contract, verb, parent.format(contract.parent))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(told.fields) == ["parent"]


@pytest.mark.verbs("Create", "List")
@pytest.mark.parametrize("verb", ["Create", "List"])
async def test_no_parent_at_all_is_refused(contract: Contract, verb: str) -> None:
    """A request without a parent says that one must be set."""
    assert (await refused(contract, verb, "")).fields == {"parent": "must be set."}


@pytest.mark.verbs("List")
async def test_a_parent_without_children_has_an_empty_page(contract: Contract) -> None:
    """Listing below a parent that has nothing below it is no error."""
    assert await contract.page() == ([], "")


@pytest.mark.verbs("Create", "List")
async def test_a_list_has_its_parents_children_only(contract: Contract) -> None:
    """Each parent's List has what is below it, and nothing of another's."""
    other, mine, others = await siblings(contract)
    assert [each.name for each in (await contract.page())[0]] == mine
    assert [each.name for each in (await other.page())[0]] == others
    pages = [[each.name for each in page] async for page in contract.pages(page_size=1)]
    assert pages == [[name] for name in mine]


@pytest.mark.verbs("Create", "List")
async def test_a_list_below_every_parent_has_all(contract: Contract) -> None:
    """A List below `-` has the children of every parent under their own names, a page at a time too."""
    _, mine, others = await siblings(contract)
    everywhere = contract.of(contract.resource, contract.above.named("-"))
    in_turns = [name for pair in zip(mine, others, strict=True) for name in pair]
    everything = [each.name for each in await everywhere.everything()]
    assert len(everything) == len(set(everything))
    assert [name for name in everything if name in in_turns] == in_turns
    token = await everywhere.token_after(in_turns[0])
    pages = [[each.name for each in page] async for page in everywhere.pages(page_size=1, page_token=token)]
    assert pages == [[name] for name in everything[everything.index(in_turns[0]) + 1 :]]


@pytest.mark.verbs("Create", "Get")
async def test_a_child_is_not_found_under_another_parent(contract: Contract) -> None:
    """A Get by the name of another parent's child, its parent replaced, is NOT_FOUND."""
    other, mine, _ = await siblings(contract)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.get(adopted(contract, mine[0], other))
    assert refusal(caught.value).code is grpc.StatusCode.NOT_FOUND


@pytest.mark.verbs("Create", "Get", "Update")
async def test_a_child_is_not_changed_under_another_parent(contract: Contract) -> None:
    """An Update by the name of another parent's child, its parent replaced, is NOT_FOUND and changes nothing."""
    other, mine, _ = await siblings(contract)
    before = await contract.get(mine[0])
    change: Any = await contract.change_of(before)
    change.name = adopted(contract, mine[0], other)
    for mask in (contract.changeable, ["create_time"], []):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await contract.update(change, *mask)
        assert refusal(caught.value).code is grpc.StatusCode.NOT_FOUND
    assert await contract.get(mine[0]) == before


@pytest.mark.verbs("Create", "Get", "Delete")
async def test_a_child_is_not_deleted_under_another_parent(contract: Contract) -> None:
    """A Delete by the name of another parent's child, its parent replaced, is NOT_FOUND and deletes nothing."""
    other, mine, _ = await siblings(contract)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.call("Delete", name=adopted(contract, mine[0], other))
    assert refusal(caught.value).code is grpc.StatusCode.NOT_FOUND
    assert (await contract.get(mine[0])).name == mine[0]


@pytest.mark.verbs("Create", "List")
async def test_a_token_is_of_its_parent(contract: Contract) -> None:
    """A token of one parent's List is INVALID_ARGUMENT for another's, and for that of all parents."""
    other, *_ = await siblings(contract)
    _, token = await contract.page(page_size=1)
    for parent in (other.parent, contract.above.named("-")):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await contract.page(parent=parent, page_token=token)
        assert list(refusal(caught.value).fields) == ["page_token"]
    assert (await contract.page(page_size=MAX_PAGE, page_token=token))[0]


@pytest.mark.verbs("Create", "List")
async def test_a_missing_parent_is_told_before_a_missing_reference(contract: Contract) -> None:
    """A Create below nothing is NOT_FOUND, also where what it refers to is not there either."""
    sent = await contract.sample(plain=True)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.create(sent, parent=contract.above.nothing)
    assert refusal(caught.value).code is grpc.StatusCode.NOT_FOUND
