"""List, for every resource on every database (AIP-132, AIP-158)."""

import grpc
import pytest

from tests.contract.resource import MAX_PAGE, Contract
from tests.status import refusal

pytestmark = pytest.mark.verbs("Create", "List")


async def test_pages_hold_every_resource_once_and_in_order(contract: Contract) -> None:
    """Following next_page_token to the end meets each resource exactly once, oldest first."""
    created = [(await contract.create(plain=True)).name for _ in range(8)]
    token = await contract.token_after(created[0])
    met: list[str] = []
    async for page in contract.pages(page_size=3, page_token=token):
        met += [each.name for each in page]
        assert len(page) == 3 or page[-1].name == met[-1]
    everything = [each.name for each in await contract.everything()]
    assert len(everything) == len(set(everything))
    assert met == everything[everything.index(created[0]) + 1 :]
    assert [name for name in met if name in created] == created[1:]


@pytest.mark.verbs("Get")
async def test_a_page_has_what_get_returns(contract: Contract) -> None:
    """What a page has of a resource is what Get returns of it, where both are asked for as much."""
    created = [await contract.create() for _ in range(3)]
    fields = (
        {"view": f"{contract.body.upper()}_VIEW_FULL"}
        if contract.plan.basic.columns != contract.plan.full.columns
        else {}
    )
    listed = {each.name: each for each in await contract.everything(**fields)}
    for each in created:
        assert listed[each.name] == await contract.get(each.name)


async def test_a_page_that_just_fits_has_no_token(contract: Contract) -> None:
    """next_page_token is empty exactly at the end, also where the last page is full."""
    created = [(await contract.create(plain=True)).name for _ in range(4)]
    token = await contract.token_after(created[0])
    everything, last = await contract.page(page_size=MAX_PAGE, page_token=token)
    assert last == ""
    assert (await contract.page(page_size=len(everything), page_token=token))[1] == ""
    assert (await contract.page(page_size=len(everything) - 1, page_token=token))[1] != ""


async def test_page_size_may_change_between_pages(contract: Contract) -> None:
    """A later page may have another size."""
    for _ in range(4):
        await contract.create(plain=True)
    first, token = await contract.page(page_size=1)
    second, _ = await contract.page(page_size=2, page_token=token)
    assert (len(first), len(second)) == (1, 2)
    assert first[0].name not in {each.name for each in second}


async def test_page_size_zero_is_the_default(contract: Contract) -> None:
    """page_size 0 is not an error, and neither is one above the most."""
    await contract.create(plain=True)
    assert (await contract.page())[0]
    assert (await contract.page(page_size=2_000_000_000))[0]


async def test_a_negative_page_size_is_refused(contract: Contract) -> None:
    """A negative page_size is INVALID_ARGUMENT on `page_size`."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.page(page_size=-1)
    told = refusal(caught.value)
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.fields == {"page_size": "must not be negative."}


@pytest.mark.parametrize("token", ["garbage", "AAAA", "~", "é", "A" * 5000, "=", "bm8", "../../etc", "0"])
async def test_a_token_that_was_never_given_out_is_refused(contract: Contract, token: str) -> None:
    """A token of somebody's own making is INVALID_ARGUMENT on `page_token`."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.page(page_token=token)
    told = refusal(caught.value)
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(told.fields) == ["page_token"]


@pytest.mark.verbs("Delete")
async def test_deleting_does_not_shift_pages(contract: Contract) -> None:
    """What is deleted between two pages, the page's last resource too, moves nothing out of the next one."""
    created = [(await contract.create(plain=True)).name for _ in range(4)]
    token = await contract.token_after(created[1])
    for name in created[:2]:
        await contract.call("Delete", name=name)
    following, _ = await contract.page(page_token=token)
    assert following[0].name == created[2]
