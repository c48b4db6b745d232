"""Get, for every resource on every database (AIP-131)."""

import grpc
import pytest

from tests.contract.resource import Contract
from tests.status import refusal

pytestmark = pytest.mark.verbs("Get")


async def test_what_is_not_there_is_not_found(contract: Contract) -> None:
    """The name of nothing is NOT_FOUND, and the error repeats the name for programs."""
    name = contract.nothing
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.get(name)
    told = refusal(caught.value)
    assert told.code is grpc.StatusCode.NOT_FOUND
    assert told.info.metadata["resource"] == name
    assert name in told.message


@pytest.mark.parametrize(
    "key", ["abc", "007", "-", "-1", "+1", "1e3", "٣", "99999999999999999999", "9223372036854775808"]
)
async def test_an_id_that_no_row_can_have_is_not_found(contract: Contract, key: str) -> None:
    """An id that the server never gives out is NOT_FOUND: what ids look like is not the caller's to know."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.get(contract.named(key))
    assert refusal(caught.value).code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    "name", ["x", "{0}/", "{1}/", "/{1}", "{1}/more/2", "things/1", "{1}\n", "{0}//1", "{0}", "{0}/{1}"]
)
async def test_a_name_of_another_form_is_refused(contract: Contract, name: str) -> None:
    """What is not of the resource's pattern is INVALID_ARGUMENT on `name`."""
    collection = contract.plan.names.pattern.partition("/")[0]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.get(name.format(collection, contract.named(1)))
    told = refusal(caught.value)
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(told.fields) == ["name"]


async def test_no_name_at_all_is_refused(contract: Contract) -> None:
    """A Get without a name says that one must be set."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await contract.get("")
    assert refusal(caught.value).fields == {"name": "must be set."}
