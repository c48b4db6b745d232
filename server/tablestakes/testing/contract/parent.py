"""What is below a parent, for every such resource on every database (AIP-122, AIP-132, AIP-133, AIP-159)."""

from typing import Any

import grpc
import pytest

from tablestakes.testing.contract.common import (
    SESSION_LOOP,
    not_found,
    refused,
)
from tablestakes.testing.resource import MAX_PAGE, Contract
from tablestakes.testing.status import Refusal


async def orphan(contract: Contract, verb: str, parent: str) -> Refusal:
    """Return the status of a Create or a List below a parent, which must fail."""
    call = contract.create(plain=True, parent=parent) if verb == "Create" else contract.page(parent=parent)
    return await refused(call)


async def siblings(contract: Contract) -> tuple[Contract, list[str], list[str]]:
    """Return another parent's contract, and the names of two resources below each of the two parents."""
    other = contract.under(await contract.new_parent())
    # In turns, so that the two parents' children lie between each other.
    pairs = [[(await each.create(plain=True)).name for each in (contract, other)] for _ in range(2)]
    mine, others = (contract.in_order(pair[index] for pair in pairs) for index in (0, 1))
    return other, mine, others


def adopted(contract: Contract, name: str, other: Contract) -> str:
    """Return the name that a child would have under another parent."""
    return name.replace(contract.parent, other.parent, 1)


@SESSION_LOOP
@pytest.mark.traits("parent")
class TestParent:
    """What is below a parent, for every such resource on every database (AIP-122, AIP-132, AIP-133, AIP-159)."""

    @pytest.mark.verbs("Create")
    async def test_a_name_begins_with_its_parents(self, contract: Contract) -> None:
        """What is created below a parent has a name below the parent's."""
        created = await contract.create(plain=True)
        assert created.name.startswith(f"{contract.parent}/")
        assert created.name.count("/") == contract.names.text.count("/")

    @pytest.mark.verbs("Create", "List")
    @pytest.mark.parametrize("verb", ["Create", "List"])
    @pytest.mark.parametrize("key", [999_999_999, "abc", "007", "-1", "99999999999999999999"])
    async def test_a_parent_that_is_not_there_is_not_found(
        self, contract: Contract, verb: str, key: object
    ) -> None:
        """A parent that does not exist, and one that cannot, is NOT_FOUND by its name."""
        parent = contract.above.named(key)
        answer = await orphan(contract, verb, parent)
        assert answer.code is grpc.StatusCode.NOT_FOUND
        assert answer.info.metadata["resource"] == parent

    @pytest.mark.verbs("Create")
    async def test_nothing_is_created_below_every_parent(self, contract: Contract) -> None:
        """A Create below `-` is NOT_FOUND: it stands for all parents, and is none."""
        assert (await orphan(contract, "Create", contract.above.named("-"))).code is grpc.StatusCode.NOT_FOUND

    @pytest.mark.verbs("Create", "List")
    @pytest.mark.parametrize("verb", ["Create", "List"])
    @pytest.mark.parametrize("parent", ["things/1", "x", "{0}/", "/{0}", "{0}\n", "{0}/more/1", "-", "-/-"])
    async def test_a_parent_of_another_form_is_refused(self, contract: Contract, verb: str, parent: str) -> None:
        """A parent that is not of the pattern is INVALID_ARGUMENT on `parent`."""
        answer = await orphan(contract, verb, parent.format(contract.parent))
        assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
        assert list(answer.fields) == ["parent"]

    @pytest.mark.verbs("Create", "List")
    @pytest.mark.parametrize("verb", ["Create", "List"])
    async def test_no_parent_at_all_is_refused(self, contract: Contract, verb: str) -> None:
        """A request without a parent says that one must be set."""
        assert (await orphan(contract, verb, "")).fields == {"parent": "must be set."}

    @pytest.mark.verbs("List")
    async def test_a_parent_without_children_has_an_empty_page(self, contract: Contract) -> None:
        """Listing below a parent that has nothing below it is no error."""
        assert await contract.page() == ([], "")

    @pytest.mark.verbs("Create", "List")
    async def test_a_list_has_its_parents_children_only(self, contract: Contract) -> None:
        """Each parent's List has what is below it, and nothing of another's."""
        other, mine, others = await siblings(contract)
        assert [each.name for each in (await contract.page())[0]] == mine
        assert [each.name for each in (await other.page())[0]] == others
        pages = [[each.name for each in page] async for page in contract.pages(page_size=1)]
        assert pages == [[name] for name in mine]

    @pytest.mark.verbs("Create", "List")
    async def test_a_list_below_every_parent_has_all(self, contract: Contract) -> None:
        """A List below `-` has the children of every parent under their own names, a page at a time too."""
        _, mine, others = await siblings(contract)
        everywhere = contract.under(contract.above.named("-"))
        in_turns = contract.in_order([*mine, *others])
        everything = [each.name for each in await everywhere.everything()]
        assert len(everything) == len(set(everything))
        assert [name for name in everything if name in in_turns] == in_turns
        token = await everywhere.token_after(in_turns[0])
        pages = [[each.name for each in page] async for page in everywhere.pages(page_size=1, page_token=token)]
        assert pages == [[name] for name in everything[everything.index(in_turns[0]) + 1 :]]

    @pytest.mark.verbs("Create", "Get")
    async def test_a_child_is_not_found_under_another_parent(self, contract: Contract) -> None:
        """A Get by the name of another parent's child, its parent replaced, is NOT_FOUND."""
        other, mine, _ = await siblings(contract)
        await not_found(contract.get(adopted(contract, mine[0], other)))

    @pytest.mark.verbs("Create", "Get", "Update")
    async def test_a_child_is_not_changed_under_another_parent(self, contract: Contract) -> None:
        """An Update by the name of a child, its parent replaced by another, is NOT_FOUND and changes nothing."""
        other, mine, _ = await siblings(contract)
        before = await contract.get(mine[0])
        change: Any = await contract.change_of(before)
        change.name = adopted(contract, mine[0], other)
        for mask in (contract.changeable, contract.facts.read_only, []):
            await not_found(contract.update(change, *mask))
        assert await contract.get(mine[0]) == before

    @pytest.mark.verbs("Create", "Get", "Delete")
    async def test_a_child_is_not_deleted_under_another_parent(self, contract: Contract) -> None:
        """A Delete by the name of another parent's child, its parent replaced, is NOT_FOUND and deletes nothing."""
        other, mine, _ = await siblings(contract)
        await not_found(contract.call("Delete", name=adopted(contract, mine[0], other)))
        assert (await contract.get(mine[0])).name == mine[0]

    @pytest.mark.verbs("Create", "List")
    async def test_a_token_is_of_its_parent(self, contract: Contract) -> None:
        """A token of one parent's List is INVALID_ARGUMENT for another's, and for that of all parents."""
        other, *_ = await siblings(contract)
        _, token = await contract.page(page_size=1)
        for parent in (other.parent, contract.above.named("-")):
            assert list((await refused(contract.page(parent=parent, page_token=token))).fields) == ["page_token"]
        assert (await contract.page(page_size=MAX_PAGE, page_token=token))[0]

    @pytest.mark.verbs("Create", "List")
    async def test_a_missing_parent_is_told_before_a_missing_reference(self, contract: Contract) -> None:
        """A Create below nothing is NOT_FOUND, also where what it refers to is not there either."""
        sent = await contract.sample(plain=True)
        await not_found(contract.create(sent, parent=contract.above.nothing))

    @pytest.mark.verbs("Create", "Get", "List")
    @pytest.mark.traits("grandparent")
    async def test_a_parent_under_another_grandparent_is_not_found(self, contract: Contract) -> None:
        """A Create or a List below a parent whose own parent is replaced is NOT_FOUND, and creates nothing."""
        other = contract.above.under(await contract.above.new_parent())
        await other.create(plain=True)
        grandparent = contract.parent.rsplit("/", 2)[0]
        moved = contract.parent.replace(grandparent, other.parent, 1)
        for verb in ("Create", "List"):
            answer = await orphan(contract, verb, moved)
            assert answer.code is grpc.StatusCode.NOT_FOUND
            assert answer.info.metadata["resource"] == moved
        assert await contract.page() == ([], "")

    @pytest.mark.verbs("Create", "List")
    @pytest.mark.traits("grandparent")
    async def test_a_list_below_every_parent_of_one_grandparent(self, contract: Contract) -> None:
        """A List below `-` of one grandparent has what is below its own children, and nothing of another's."""
        other, mine, _ = await siblings(contract)
        assert other.parent.rsplit("/", 2)[0] != contract.parent.rsplit("/", 2)[0]
        within = contract.under(f"{contract.parent.rpartition('/')[0]}/-")
        assert [each.name for each in await within.everything()] == mine

    @pytest.mark.verbs("List")
    @pytest.mark.traits("grandparent")
    async def test_a_list_below_every_parent_of_nothing_is_not_found(self, contract: Contract) -> None:
        """A List below `-` of a grandparent without children is empty, and of one that does not exist NOT_FOUND."""
        empty = await contract.above.new_parent()
        step = contract.parent.rsplit("/", 2)[1]
        assert await contract.page(parent=f"{empty}/{step}/-") == ([], "")
        nothing = contract.above.above.nothing
        await not_found(contract.page(parent=f"{nothing}/{step}/-"))
