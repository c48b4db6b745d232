"""Delete, for every resource on every database (AIP-135)."""

import asyncio

import grpc
import pytest

from tablestakes.testing.contract.common import (
    SESSION_LOOP,
    check_deleted,
    not_found,
    refused,
    remove,
)
from tablestakes.testing.resource import Contract


@SESSION_LOOP
@pytest.mark.verbs("Create", "Get", "Delete")
class TestDelete:
    """Delete, for every resource on every database (AIP-135)."""

    async def test_what_was_deleted_is_gone(self, contract: Contract) -> None:
        """After Delete another Delete is NOT_FOUND, and so is Get of what cannot be restored."""
        created = await contract.create()
        answer = await contract.call("Delete", name=created.name)
        assert answer.ByteSize() == 0 or answer == await contract.get(created.name)
        await check_deleted(contract, created.name)
        await not_found(contract.call("Delete", name=created.name))

    @pytest.mark.traits("server's id")
    async def test_a_name_is_never_given_out_again(self, contract: Contract) -> None:
        """The name of the newest resource, once deleted, does not come to mean another."""
        first = await contract.create()
        await remove(contract, first.name)
        assert (await contract.create()).name != first.name

    async def test_one_of_many_concurrent_deletes_succeeds(self, contract: Contract) -> None:
        """Of deletes of one resource at the same time exactly one finds it."""
        created = await contract.create()
        answers = await asyncio.gather(
            *(contract.call("Delete", name=created.name) for _ in range(8)), return_exceptions=True
        )
        refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
        assert len(refused) == 7
        assert {error.code() for error in refused} == {grpc.StatusCode.NOT_FOUND}

    async def test_a_name_of_another_form_is_refused(self, contract: Contract) -> None:
        """A name that is not of the resource's pattern is INVALID_ARGUMENT on `name`."""
        assert list((await refused(contract.call("Delete", name="things/1"))).fields) == ["name"]
