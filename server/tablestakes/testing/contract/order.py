"""Orders, skips and totals of List, for every resource whose request has them (AIP-132, AIP-158)."""

import pytest

from tablestakes.testing.contract.common import SESSION_LOOP, invalid
from tablestakes.testing.resource import MAX_PAGE, Contract


@SESSION_LOOP
@pytest.mark.verbs("Create", "List")
class TestOrder:
    """Orders, skips and totals of List, for every resource whose request has them (AIP-132, AIP-158)."""

    @pytest.mark.traits("order_by")
    async def test_a_list_comes_in_its_order(self, contract: Contract) -> None:
        """A walk by name, either way, has each resource once; a field that is none is INVALID_ARGUMENT."""
        created = await contract.several(4)
        backwards = [each.name for each in await contract.everything(order_by="name desc")]
        assert backwards == [each.name for each in await contract.everything()][::-1]
        met: list[str] = []
        async for page in contract.pages(page_size=MAX_PAGE if not contract.parent else 3, order_by="name desc"):
            met += [each.name for each in page]
        assert met == backwards
        assert [name for name in met if name in created] == created[::-1]
        assert list((await invalid(contract.page(order_by="no_such_field"))).fields) == ["order_by"]

    @pytest.mark.traits("order_by")
    async def test_a_token_is_of_its_order(self, contract: Contract) -> None:
        """A token of a List in one order is INVALID_ARGUMENT on `page_token` for a List in another."""
        await contract.several(2)
        _, token = await contract.page(page_size=1, order_by="name desc")
        for fields in ({}, {"order_by": "name"}):
            answer = await invalid(contract.page(page_token=token, **fields))
            assert list(answer.fields) == ["page_token"]
        assert (await contract.page(page_token=token, page_size=MAX_PAGE, order_by="name desc"))[0]

    @pytest.mark.traits("skip")
    async def test_skip_leaves_resources_out(self, contract: Contract) -> None:
        """A page leaves out so many resources, all of them without an error; a negative skip is refused."""
        created = await contract.several(4)
        token = await contract.token_after(created[0])
        page, following = await contract.page(page_token=token, page_size=1, skip=2)
        everything, _ = await contract.page(page_token=token, page_size=MAX_PAGE)
        assert [each.name for each in page] == [everything[2].name]
        assert bool(following) == (len(everything) > 3)
        assert await contract.page(skip=2**31 - 1) == ([], "")
        assert (await invalid(contract.page(skip=-1))).reasons == {"skip": "NEGATIVE_SKIP"}

    @pytest.mark.traits("total")
    async def test_a_total_is_told_where_it_is_asked_for(self, contract: Contract) -> None:
        """`total_size` is how many there are on all pages together, and unset where nobody asks for it."""
        await contract.several(3)
        below = {"parent": contract.parent} if contract.parent else {}
        count = len(await contract.everything())
        response = await contract.call("List", page_size=1, return_total_size=True, **below)
        assert (response.total_size, response.HasField("estimated_total_size")) == (count, False)
        assert not (await contract.call("List", page_size=1, **below)).HasField("total_size")
