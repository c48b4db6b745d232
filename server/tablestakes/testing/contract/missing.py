"""`allow_missing`, for every request that has it, on every database (AIP-134, AIP-135)."""

import asyncio
from typing import Any

import grpc
import pytest

from tablestakes.crud.schema.behavior import REQUIRED
from tablestakes.testing.contract.common import SESSION_LOOP, check_deleted, invalid, not_found, refused
from tablestakes.testing.contract.etag import STALE, check_stale, with_etag
from tablestakes.testing.resource import Contract, copy_fields, told, without


async def unmade(contract: Contract) -> Any:
    """Return a sample under a name that a resource may have and none has."""
    made = await contract.sample()
    beside = await contract.beside()
    chosen = contract.facts.chosen_id
    assert chosen is not None
    collection = contract.names.text.split("/")[-2]
    made.name = "/".join(filter(None, (beside.get("parent", ""), collection, beside[chosen.name])))
    return made


@SESSION_LOOP
@pytest.mark.verbs("Get")
class TestMissing:
    """`allow_missing`, for every request that has it, on every database (AIP-134, AIP-135)."""

    @pytest.mark.traits("Delete allow_missing")
    async def test_a_missing_resource_may_be_deleted(self, contract: Contract) -> None:
        """A Delete of what does not exist is OK, whatever its etag; what does exist is deleted by its etag."""
        for name in (contract.nothing, contract.named("-1")):
            for etag in ("", STALE[0]):
                await contract.call("Delete", name=name, etag=etag, allow_missing=True)
            await not_found(contract.call("Delete", name=name))
        found = await contract.create(plain=True)
        check_stale(
            await refused(contract.call("Delete", name=found.name, etag=STALE[0], allow_missing=True)), found
        )
        for _ in range(2):
            await contract.call("Delete", name=found.name, etag=found.etag, allow_missing=True)
            await check_deleted(contract, found.name)

    @pytest.mark.traits("Delete allow_missing", "force")
    async def test_a_missing_resource_may_be_deleted_by_force(self, contract: Contract) -> None:
        """A Delete with force of what does not exist is OK too."""
        await contract.call("Delete", name=contract.nothing, force=True, allow_missing=True)

    @pytest.mark.traits("Update allow_missing")
    @pytest.mark.parametrize("mask", ["", "*", "{0}"])
    async def test_a_missing_resource_is_created(self, contract: Contract, mask: str) -> None:
        """An Update of what does not exist creates it with all that was sent, whatever the mask."""
        sent = await unmade(contract)
        paths = filter(None, [mask.format(contract.changeable[0])])
        await not_found(contract.update(sent, *contract.changeable))
        created = await contract.update(sent, *paths, allow_missing=True)
        assert created.name == sent.name
        assert told(created) == told(sent)
        assert await contract.get(sent.name) == created

    @pytest.mark.traits("Update allow_missing")
    async def test_what_is_there_is_updated(self, contract: Contract) -> None:
        """An Update of what exists writes what the mask says; what is the same already is left as it is."""
        before = await contract.create()
        for field in contract.changeable:
            change = await contract.replacement_of(before)
            after = await contract.update(change, field, allow_missing=True)
            expected = without(before, "update_time", "etag")
            copy_fields(change, expected, [field])
            assert without(after, "update_time", "etag") == expected
            assert after.etag != before.etag
            assert await contract.update(change, field, allow_missing=True) == after
            before = after
        assert await contract.update(before, "*", allow_missing=True) == before
        check_stale(await refused(contract.update(with_etag(before, STALE[0]), allow_missing=True)), before)

    @pytest.mark.traits("Update allow_missing")
    @pytest.mark.behaviors(REQUIRED)
    async def test_what_is_created_has_what_it_needs(self, contract: Contract) -> None:
        """An Update that would create without a REQUIRED field names it; one of what exists does not need it."""
        sent = await unmade(contract)
        empty = type(sent)(name=sent.name)
        assert (
            await invalid(contract.update(empty, allow_missing=True))
        ).fields.keys() == contract.facts.required()
        await not_found(contract.get(sent.name))
        created = await contract.update(sent, allow_missing=True)
        assert await contract.update(empty, allow_missing=True) == created

    @pytest.mark.traits("Update allow_missing")
    async def test_an_id_that_is_none_is_refused(self, contract: Contract) -> None:
        """An Update under an id that Create would refuse creates nothing: INVALID_ARGUMENT on the name."""
        sent = await unmade(contract)
        path = f"{contract.body}.name"
        for wrong in ("-", "A", "x" * 100, "É", "A b"):
            sent.name = f"{sent.name.rpartition('/')[0]}/{wrong}"
            answer = await invalid(contract.update(sent, allow_missing=True))
            # With a space it is not even a name.
            assert answer.reasons == {path: "INVALID_RESOURCE_NAME" if " " in wrong else "INVALID_ID"}

    @pytest.mark.traits("Update allow_missing")
    async def test_what_was_read_is_not_made_again(self, contract: Contract) -> None:
        """An Update with the etag of what is gone is NOT_FOUND: it was sent for what was read."""
        sent = await unmade(contract)
        await not_found(contract.update(with_etag(sent, STALE[0]), allow_missing=True))
        await not_found(contract.get(sent.name))

    @pytest.mark.traits("Update allow_missing")
    async def test_many_at_once_make_one(self, contract: Contract) -> None:
        """Of Updates of what does not exist, at the same time, each succeeds, and one of them is read after."""
        for _ in range(3):
            first = await unmade(contract)
            sent = []
            for _ in range(6):
                change = await contract.sample()
                change.name = first.name
                sent.append(change)
            answers: list[Any] = await asyncio.gather(
                *(contract.update(each, "*", allow_missing=True) for each in sent)
            )
            assert [told(answer) for answer in answers] == [told(each) for each in sent]
            assert len({answer.etag for answer in answers}) == len(answers)
            assert await contract.get(first.name) in answers

    @pytest.mark.traits("Update allow_missing", "Update validate_only")
    async def test_a_rehearsed_upsert_makes_nothing(self, contract: Contract) -> None:
        """An Update of what does not exist with validate_only answers with the new resource, and makes none."""
        sent = await unmade(contract)
        assert told(await contract.update(sent, allow_missing=True, validate_only=True)) == told(sent)
        await not_found(contract.get(sent.name))

    @pytest.mark.traits("Update allow_missing", "parent")
    async def test_a_missing_parent_is_not_made(self, contract: Contract) -> None:
        """An Update below a parent that does not exist is NOT_FOUND by the parent's name."""
        sent = await unmade(contract)
        nowhere = contract.above.nothing
        sent.name = sent.name.replace(contract.parent, nowhere)
        answer = await refused(contract.update(sent, allow_missing=True))
        assert answer.code is grpc.StatusCode.NOT_FOUND
        assert answer.info.metadata["resource"] == nowhere

    @pytest.mark.traits("Update allow_missing", "parent")
    async def test_an_id_of_another_parent_is_taken(self, contract: Contract) -> None:
        """An Update of a name whose id is below another parent is ALREADY_EXISTS on the name."""
        found = await contract.create()
        other = await contract.sample()
        other.name = f"{await contract.new_parent()}/{'/'.join(found.name.rsplit('/', 2)[1:])}"
        answer = await refused(contract.update(other, allow_missing=True))
        assert answer.code is grpc.StatusCode.ALREADY_EXISTS
        assert list(answer.fields) == [f"{contract.body}.name"]
