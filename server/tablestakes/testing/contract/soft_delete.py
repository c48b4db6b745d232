"""Soft deletion, for every resource whose message has `delete_time`, on every database (AIP-164, AIP-165)."""

from typing import Any
from uuid import uuid4

import grpc
import pytest

from tablestakes.testing.contract.common import (
    SESSION_LOOP,
    check_deleted,
    check_same_but,
    invalid,
    not_found,
    purge,
    refused,
    remove,
)
from tablestakes.testing.contract.etag import STALE, stale, with_etag
from tablestakes.testing.contract.force import children, descendants, names_for
from tablestakes.testing.contract.transition import brought, state_of, ways
from tablestakes.testing.resource import Contract, copy_fields, told
from tablestakes.testing.sample import refers_to
from tablestakes.testing.served import references

TIMES = ("delete_time", "expire_time")
MONTH = 30 * 86_400


async def delete(contract: Contract, name: str, **fields: Any) -> Any:
    """Delete a resource, and return what was answered."""
    return await contract.call("Delete", name=name, **fields)


async def undelete(contract: Contract, name: str, **fields: Any) -> Any:
    """Restore a resource, and return what was answered."""
    return await contract.call("Undelete", name=name, **fields)


async def listed(contract: Contract, name: str, verb: str = "List", **fields: Any) -> bool:
    """Return whether a resource is among those of a filter that finds it alone."""
    only = {"filter": f'name = "{name}"', **fields}
    if contract.names.parent:
        only["parent"] = name.rsplit("/", 2)[0]
    if verb == "Export":
        return name in [each.name for page, _ in await contract.export(**only) for each in page]
    response = await contract.call("List", return_total_size=True, **only)
    found = next(getattr(response, each.name) for each in response.DESCRIPTOR.fields if each.message_type)
    assert [each.name for each in found] == [name] * response.total_size
    return bool(found)


@SESSION_LOOP
@pytest.mark.verbs("Create", "Get", "Delete", "Undelete")
@pytest.mark.traits("soft delete")
class TestSoftDelete:
    """Soft deletion, for every resource whose message has `delete_time`, on every database (AIP-164, AIP-165)."""

    @pytest.mark.verbs("List")
    async def test_a_deleted_one_is_hidden_but_from_get(self, contract: Contract) -> None:
        """A Delete answers with its times and a new etag; reads of many hide it, Get and show_deleted do not."""
        found = await contract.create()
        assert await listed(contract, found.name)
        answer = await delete(contract, found.name)
        check_same_but(found, answer, *TIMES)
        assert answer.etag != found.etag
        assert answer.delete_time.ToNanoseconds() > found.create_time.ToNanoseconds()
        if "expire_time" in answer.DESCRIPTOR.fields_by_name:
            assert answer.expire_time.ToNanoseconds() - answer.delete_time.ToNanoseconds() == MONTH * 10**9
        assert await contract.get(found.name) == answer
        await not_found(contract.batch([found.name]))
        for verb in {"List", "Export"}.intersection(contract.facts.methods):
            assert not await listed(contract, found.name, verb)
            assert await listed(contract, found.name, verb, show_deleted=True)
        await undelete(contract, found.name)
        assert [each.name for each in await contract.batch([found.name])] == [found.name]
        for verb in {"List", "Export"}.intersection(contract.facts.methods):
            assert await listed(contract, found.name, verb)

    async def test_undelete_restores_the_same(self, contract: Contract) -> None:
        """An Undelete returns the resource as it was before the Delete, but for its etag and update_time."""
        found = await contract.create()
        deleted = await delete(contract, found.name, etag=found.etag)
        for etag in (found.etag, STALE[0]):
            await stale(contract, deleted, undelete(contract, found.name, etag=etag))
        answer = await undelete(contract, found.name, validate_only=True)
        check_same_but(found, answer)
        assert await contract.get(found.name) == deleted
        restored = await undelete(contract, found.name, etag=deleted.etag)
        check_same_but(found, restored)
        assert len({found.etag, deleted.etag, restored.etag}) == 3
        assert await contract.get(found.name) == restored
        again = await refused(undelete(contract, found.name))
        assert (again.code, again.info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "NOT_DELETED")
        await not_found(undelete(contract, contract.nothing))

    @pytest.mark.traits("Delete request_id")
    async def test_a_repeated_undelete_is_answered(self, contract: Contract) -> None:
        """A repeated Undelete or Purge is answered as the first, and takes effect once."""
        found = await contract.create(plain=True)
        await delete(contract, found.name)
        id_ = str(uuid4())
        first = await undelete(contract, found.name, request_id=id_)
        assert await undelete(contract, found.name, request_id=id_) == first
        only, id_ = f'name = "{found.name}"', str(uuid4())
        await delete(contract, found.name)
        answers = [await purge(contract, only, request_id=id_) for _ in range(2)]
        assert [answer.purge_count for answer in answers] == [1, 1]
        await not_found(contract.get(found.name))

    @pytest.mark.verbs("Update")
    async def test_a_deleted_one_is_not_there_for_writes(self, contract: Contract) -> None:
        """Update, Delete and transitions of a deleted resource are NOT_FOUND, and change nothing."""
        found = await contract.create(plain=True)
        deleted = await delete(contract, found.name)
        for etag in ("", found.etag, deleted.etag):
            change = with_etag(await contract.replacement_of(found), etag)
            for mask in ((), ("*",), contract.facts.read_only, (contract.changeable[0],)):
                await not_found(contract.update(change, *mask))
            await not_found(delete(contract, found.name, etag=etag))
        for state, way in ways(contract, state_of(found)).items() if contract.facts.transitions else ():
            gone = await delete(contract, (await brought(contract, way)).name)
            for name, transition in contract.facts.transitions.items():
                if state in transition.sources:
                    await not_found(contract.rpc(name, name=gone.name))
        assert await contract.get(found.name) == deleted
        assert await delete(contract, found.name, allow_missing=True, etag=found.etag) == deleted
        assert (await delete(contract, contract.nothing, allow_missing=True)).ByteSize() == 0

    @pytest.mark.traits("unique")
    async def test_the_values_of_a_deleted_one_are_free(self, contract: Contract) -> None:
        """Another resource can have a deleted one's unique values; Undelete then names all of these fields."""
        sent = await contract.sample()
        beside = await contract.beside()
        first = await contract.create(sent, **beside)
        await delete(contract, first.name)
        second = await contract.create(sent, **beside)
        assert told(second) == told(first)
        answer = await refused(undelete(contract, first.name))
        assert answer.code is grpc.StatusCode.ALREADY_EXISTS
        assert set(answer.fields) == {name for fields in contract.facts.unique for name in fields}
        await delete(contract, second.name)
        check_same_but(first, await undelete(contract, first.name))
        # And are taken again.
        taken = await refused(contract.create(sent, **beside))
        assert taken.code is grpc.StatusCode.ALREADY_EXISTS

    @pytest.mark.traits("referred to")
    async def test_nothing_comes_to_refer_to_a_deleted_one(self, contract: Contract) -> None:
        """A reference to a deleted resource is refused as one to none, and one that is restored is a reference."""
        found = await contract.create(plain=True)
        await delete(contract, found.name)
        made = []
        for facts in contract.served.referring(contract.facts):
            if facts.descriptor.name in contract.served.preparations:
                continue  # what it prepares is not there any more either
            other = contract.of(facts)
            sent = await other.sample(names_for(contract, found.name))
            made.append((other, sent))
            assert set((await invalid(other.create(sent))).reasons.values()) == {"REFERENCE_NOT_FOUND"}
        await undelete(contract, found.name)
        for other, sent in made:
            assert (await other.create(sent)).name

    @pytest.mark.traits("children")
    async def test_nothing_is_created_below_a_deleted_one(self, contract: Contract) -> None:
        """A Create below a deleted resource is NOT_FOUND by its name; a List below it is empty, and no error."""
        found = await contract.create(plain=True)
        await delete(contract, found.name)
        for child in children(contract, found.name):
            assert (await not_found(child.create(plain=True))).info.metadata["resource"] == found.name
            assert await child.page() == ([], "")

    @pytest.mark.traits("children", "force")
    async def test_what_was_deleted_with_it_is_restored_with_it(self, contract: Contract) -> None:
        """An Undelete restores what a Delete with force deleted, and not what was deleted before."""
        found = await contract.create(plain=True)
        below = await descendants(contract, found.name)
        softly = [(child, name) for child, name in below if child.facts.deletes_softly]
        for child, name in softly[1:2]:
            await delete(child, name, force=True)
        before = [await child.get(name) for child, name in below]
        deleted = await delete(contract, found.name, force=True)
        for child, name in softly:
            await check_deleted(child, name)
            answer = await refused(undelete(child, name))
            assert (answer.code, answer.info.reason) == (
                grpc.StatusCode.FAILED_PRECONDITION,
                "REFERS_TO_DELETED",
            )
        assert await contract.get(found.name) == deleted
        await undelete(contract, found.name)
        for (child, name), each in zip(below, before, strict=True):
            check_same_but(each, await child.get(name))

    @pytest.mark.traits("references")
    async def test_what_refers_to_a_deleted_one_is_not_restored(self, contract: Contract) -> None:
        """An Undelete of what refers to a deleted resource is FAILED_PRECONDITION until that one is restored."""
        for _, field in references(contract.facts.descriptor, ""):
            other = contract.of(contract.served.by_type[refers_to(field)])
            if field.is_repeated or not other.facts.deletes_softly:
                continue
            target = (await other.create(plain=True)).name
            found = await contract.create(await contract.sample({other.facts.kind: target}))
            deleted = await delete(contract, found.name)
            await delete(other, target)
            answer = await refused(undelete(contract, found.name))
            assert (answer.code, answer.info.reason) == (
                grpc.StatusCode.FAILED_PRECONDITION,
                "REFERS_TO_DELETED",
            )
            # And that one is not removed before it.
            await purge(other, f'name = "{target}"')
            await check_deleted(other, target)
            assert await contract.get(found.name) == deleted
            await undelete(other, target)
            check_same_but(found, await undelete(contract, found.name))

    @pytest.mark.verbs("Purge")
    async def test_a_purge_removes_what_is_deleted(self, contract: Contract) -> None:
        """A Purge counts the deleted resources of its filter, and with force removes them; live ones stay."""
        live, *gone = await contract.several(4)
        for name in gone:
            await delete(contract, name)
        only = " OR ".join(f'name = "{name}"' for name in (live, *gone[:2]))
        counted = await purge(contract, only, force=False)
        assert (counted.purge_count, list(counted.purge_sample)) == (2, contract.in_order(gone[:2]))
        rehearsed = await purge(contract, only, validate_only=True)
        assert (rehearsed.purge_count, list(rehearsed.purge_sample)) == (2, [])
        for name in gone:
            await check_deleted(contract, name)
        assert (await purge(contract, only)).purge_count == 2
        for name in gone[:2]:
            for call in (contract.get(name), delete(contract, name), undelete(contract, name)):
                await not_found(call)
        assert not (await contract.get(live)).HasField("delete_time")
        await check_deleted(contract, gone[2])
        assert (await purge(contract, "*", force=False)).purge_count >= 1
        assert (await purge(contract, "*")).purge_count >= 1
        await not_found(contract.get(gone[2]))
        assert (await contract.get(live)).name == live

    @pytest.mark.verbs("Purge")
    async def test_a_purge_needs_a_filter(self, contract: Contract) -> None:
        """A Purge without a filter, or with a wrong one, is INVALID_ARGUMENT on `filter`, and removes nothing."""
        found = await contract.create(plain=True)
        await delete(contract, found.name)
        for only in ("", "  ", "no_such_field = 1", "name =", "*  OR"):
            assert list((await invalid(purge(contract, only))).fields) == ["filter"]
        await check_deleted(contract, found.name)

    @pytest.mark.verbs("Purge")
    @pytest.mark.traits("unique")
    async def test_what_was_purged_leaves_its_values(self, contract: Contract) -> None:
        """A resource that was removed for good is in nobody's way: its values can be given to another."""
        sent, beside = await contract.sample(), await contract.beside()
        first = await contract.create(sent, **beside)
        await remove(contract, first.name)
        second = await contract.sample()
        for fields in contract.facts.unique:
            copy_fields(sent, second, fields)
        assert (await contract.create(second, **beside)).name != first.name
