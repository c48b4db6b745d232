"""List, for every resource on every database (AIP-132, AIP-158)."""

import pytest

from tablestakes.testing.contract.common import (
    SESSION_LOOP,
    invalid,
)
from tablestakes.testing.resource import MAX_PAGE, Contract


@SESSION_LOOP
@pytest.mark.verbs("Create", "List")
class TestList:
    """List, for every resource on every database (AIP-132, AIP-158)."""

    async def test_pages_hold_every_resource_once_and_in_order(self, contract: Contract) -> None:
        """Following next_page_token to the end meets each resource exactly once, in the order of the ids."""
        created = await contract.several(8)
        token = await contract.token_after(created[0])
        pages = [[each.name for each in page] async for page in contract.pages(page_size=3, page_token=token)]
        *full, last = map(len, pages)
        assert set(full) == {3}
        assert 1 <= last <= 3
        met = [name for page in pages for name in page]
        everything = [each.name for each in await contract.everything()]
        assert len(everything) == len(set(everything))
        assert everything == contract.in_order(everything)
        assert met == everything[everything.index(created[0]) + 1 :]
        assert [name for name in met if name in created] == created[1:]

    @pytest.mark.verbs("Get")
    async def test_a_page_has_what_get_returns(self, contract: Contract) -> None:
        """What a page has of a resource is what Get returns of it, where both are asked for as much."""
        created = [await contract.create() for _ in range(3)]
        fields = {"view": f"{contract.body.upper()}_VIEW_FULL"} if contract.facts.asks("List", "view") else {}
        listed = {each.name: each for each in await contract.everything(**fields)}
        for each in created:
            assert listed[each.name] == await contract.get(each.name)

    async def test_a_page_that_just_fits_has_no_token(self, contract: Contract) -> None:
        """next_page_token is empty exactly at the end, also where the last page is full."""
        created = await contract.several(4)
        token = await contract.token_after(created[0])
        everything, last = await contract.page(page_size=MAX_PAGE, page_token=token)
        assert last == ""
        assert (await contract.page(page_size=len(everything), page_token=token))[1] == ""
        assert (await contract.page(page_size=len(everything) - 1, page_token=token))[1] != ""

    async def test_page_size_may_change_between_pages(self, contract: Contract) -> None:
        """A later page may have another size."""
        await contract.several(4)
        first, token = await contract.page(page_size=1)
        second, _ = await contract.page(page_size=2, page_token=token)
        assert (len(first), len(second)) == (1, 2)
        assert first[0].name not in {each.name for each in second}

    async def test_page_size_zero_is_the_default(self, contract: Contract) -> None:
        """page_size 0 is not an error, and neither is one above the most."""
        await contract.create(plain=True)
        assert (await contract.page())[0]
        assert (await contract.page(page_size=2_000_000_000))[0]

    async def test_a_negative_page_size_is_refused(self, contract: Contract) -> None:
        """A negative page_size is INVALID_ARGUMENT on `page_size`."""
        answer = await invalid(contract.page(page_size=-1))
        assert answer.fields == {"page_size": "must not be negative."}

    @pytest.mark.parametrize("token", ["garbage", "AAAA", "~", "é", "A" * 5000, "=", "bm8", "../../etc", "0"])
    async def test_a_token_that_was_never_given_out_is_refused(self, contract: Contract, token: str) -> None:
        """A token of somebody's own making is INVALID_ARGUMENT on `page_token`."""
        answer = await invalid(contract.page(page_token=token))
        assert list(answer.fields) == ["page_token"]

    @pytest.mark.verbs("Delete")
    async def test_deleting_does_not_shift_pages(self, contract: Contract) -> None:
        """What is deleted between two pages, the page's last resource too, moves nothing out of the next one."""
        created = await contract.several(4)
        token = await contract.token_after(created[1])
        everything = [each.name for each in await contract.everything()]
        for name in created[:2]:
            await contract.call("Delete", name=name)
        following, _ = await contract.page(page_token=token)
        assert following[0].name == everything[everything.index(created[1]) + 1]
