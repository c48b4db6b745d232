"""List, for every resource on every database (AIP-132, AIP-158)."""

import grpc
import pytest

from tests.contract.resource import Contract
from tests.status import refusal

pytestmark = pytest.mark.verbs("Create", "List")


async def test_pages_hold_every_resource_once_and_in_order(contract: Contract) -> None:
    """Following next_page_token to the end meets each resource exactly once, oldest first."""
    created = [(await contract.create()).name for _ in range(7)]
    met: list[str] = []
    token = ""
    while True:
        page, token = await contract.list(page_size=3, page_token=token)
        assert len(page) == 3 or not token
        met += [each.name for each in page]
        if not token:
            break
    assert len(met) == len(set(met))
    assert met[-7:] == created


async def test_a_page_that_just_fits_has_no_token(contract: Contract) -> None:
    """next_page_token is empty exactly at the end, also where the last page is full."""
    await contract.create()
    everything, token = await contract.list(page_size=1000)
    assert token == ""
    assert (await contract.list(page_size=len(everything)))[1] == ""
    if len(everything) > 1:
        assert (await contract.list(page_size=len(everything) - 1))[1] != ""


async def test_page_size_may_change_between_pages(contract: Contract) -> None:
    """A later page may have another size."""
    for _ in range(4):
        await contract.create()
    first, token = await contract.list(page_size=1)
    second, _ = await contract.list(page_size=2, page_token=token)
    assert (len(first), len(second)) == (1, 2)
    assert first[0].name not in {each.name for each in second}


async def test_page_size_zero_is_the_default(contract: Contract) -> None:
    """page_size 0 is not an error, and neither is one above the most."""
    await contract.create()
    assert (await contract.list())[0]
    assert (await contract.list(page_size=2_000_000_000))[0]


async def test_a_negative_page_size_is_refused(contract: Contract) -> None:
    """A negative page_size is INVALID_ARGUMENT on `page_size`."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.list(page_size=-1)
    told = refusal(caught.value)
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.fields == {"page_size": "must not be negative."}


@pytest.mark.parametrize("token", ["garbage", "AAAA", "~", "é", "A" * 5000, "=", "bm8", "../../etc", "0"])
async def test_a_token_that_was_never_given_out_is_refused(contract: Contract, token: str) -> None:
    """A token of somebody's own making is INVALID_ARGUMENT on `page_token`."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.list(page_token=token)
    told = refusal(caught.value)
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(told.fields) == ["page_token"]


@pytest.mark.verbs("Create", "List", "Delete")
async def test_deleting_does_not_shift_pages(contract: Contract) -> None:
    """What is deleted between two pages moves nothing out of the next one."""
    created = [(await contract.create()).name for _ in range(4)]
    everything, _ = await contract.list(page_size=1000)
    position = [each.name for each in everything].index(created[1]) + 1
    if position < len(everything):
        _, token = await contract.list(page_size=position)
        await contract.call("Delete", name=created[0])
        following, _ = await contract.list(page_token=token)
        assert following[0].name == created[2]
