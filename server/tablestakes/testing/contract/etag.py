"""Etags, for every resource that has one, on every database (AIP-154)."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import grpc
import pytest

from tablestakes.app import App
from tablestakes.testing.contract.common import SESSION_LOOP, check_deleted, not_found, refused
from tablestakes.testing.contract.statements import counting
from tablestakes.testing.contract.transition import brought, state_of, ways
from tablestakes.testing.resource import Contract
from tablestakes.testing.status import Refusal, refusal

Write = Callable[[Any], Coroutine[Any, Any, Any]]
"""Changes a resource on the condition that its etag is that of the message given."""

STALE = ['"1"', '""', "1", 'W/"1"', '"ffffffffffffffffff"', "*", "\x00", "no etag"]
"""Texts that are the etag of no resource that a test makes."""


async def stale(contract: Contract, current: Any, call: Coroutine[Any, Any, Any]) -> None:
    """Check that a call is ABORTED with the current etag, is not to be repeated, and has written nothing."""
    answer = await refused(call)
    check_stale(answer, current)
    assert await contract.get(current.name) == current


def check_stale(answer: Refusal, current: Any) -> None:
    """Check that a status tells of a stale etag, and what the current one is."""
    assert (answer.code, answer.info.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert dict(answer.info.metadata) == {"resource": current.name, "etag": current.etag}
    assert answer.retry_delay is None


def with_etag(message: Any, etag: str) -> Any:
    """Return a copy of a message with an etag."""
    made = type(message)()
    made.CopyFrom(message)
    made.etag = etag
    return made


async def race(write: Write, found: Any, times: int = 4) -> list[Refusal]:
    """Make the same conditional change many times at once, and return the statuses of those that failed."""
    answers = await asyncio.gather(*(write(found) for _ in range(times)), return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    assert all(isinstance(each, grpc.aio.AioRpcError) for each in failed), failed
    assert len(failed) == times - 1
    return [refusal(each) for each in failed if isinstance(each, grpc.aio.AioRpcError)]


@SESSION_LOOP
@pytest.mark.verbs("Get")
@pytest.mark.traits("etag")
class TestEtag:
    """Etags, for every resource that has one, on every database (AIP-154)."""

    async def test_every_method_returns_the_etag(self, contract: Contract) -> None:
        """Create, Get and List return one etag, quoted as RFC 9110 says, and two resources have two."""
        created = await contract.create(plain=True)
        assert created.etag[:1] == created.etag[-1:] == '"'
        assert created.etag.strip('"').isalnum()
        assert (await contract.get(created.name)).etag == created.etag
        if "List" in contract.facts.methods:
            listed = {each.name: each.etag for each in await contract.everything()}
            assert listed[created.name] == created.etag

    @pytest.mark.verbs("Update")
    async def test_an_update_of_what_was_read_is_made(self, contract: Contract) -> None:
        """An Update with the etag that a call has just returned succeeds, and returns another, each time anew."""
        found = await contract.create()
        etags = {found.etag}
        for mask in ((contract.changeable[0],), ("*",), ()):
            change = with_etag(await contract.replacement_of(found), found.etag)
            found = await contract.update(change, *mask)
            etags.add(found.etag)
            assert await contract.get(found.name) == found
        assert len(etags) == 4

    @pytest.mark.verbs("Update")
    async def test_every_field_changes_the_etag(self, contract: Contract) -> None:
        """For each field: an Update of it, with or without an etag, makes the one that was read before it stale."""
        for field in contract.changeable:
            before = await contract.create()
            after = await contract.update(await contract.replacement_of(before), field)
            assert after.etag != before.etag
            change = await contract.replacement_of(before)
            await stale(contract, after, contract.update(with_etag(change, before.etag), field))

    @pytest.mark.verbs("Update")
    async def test_a_stale_etag_is_refused_whatever_the_mask(self, contract: Contract) -> None:
        """An etag that is not the resource's is ABORTED with the current one, even if nothing is to be written."""
        found = await contract.create()
        change = await contract.replacement_of(found)
        for etag in STALE:
            await stale(contract, found, contract.update(with_etag(change, etag), "*"))
        for mask in ((), (contract.changeable[0],), contract.facts.read_only):
            await stale(contract, found, contract.update(with_etag(change, STALE[0]), *mask))

    @pytest.mark.verbs("Update")
    async def test_what_writes_nothing_keeps_the_etag(self, contract: Contract) -> None:
        """An Update that selects no field leaves the etag as it is, and takes the current one."""
        found = await contract.create()
        assert await contract.update(found, *contract.facts.read_only) == found
        nothing = type(found)(name=found.name, etag=found.etag)
        assert await contract.update(nothing) == found

    @pytest.mark.verbs("Update")
    async def test_without_an_etag_any_is_meant(self, contract: Contract) -> None:
        """An Update without an etag changes a resource that others have changed meanwhile."""
        found = await contract.create()
        for _ in range(2):
            assert (await contract.update(await contract.replacement_of(found), "*")).etag != found.etag

    @pytest.mark.verbs("Update")
    async def test_of_many_updates_with_one_etag_one_is_made(self, contract: Contract) -> None:
        """Of Updates at the same time with one etag exactly one succeeds, and each other is told the new etag."""
        for _ in range(3):
            found = await contract.create()
            change = with_etag(await contract.replacement_of(found), found.etag)

            async def write(_: Any, change: Any = change) -> Any:
                return await contract.update(change, contract.changeable[0])

            answers = await race(write, found)
            current = await contract.get(found.name)
            for answer in answers:
                check_stale(answer, current)

    @pytest.mark.verbs("Update")
    async def test_an_etag_of_nothing_is_not_found(self, contract: Contract) -> None:
        """An Update with an etag of what does not exist is NOT_FOUND, not ABORTED."""
        change = await contract.sample()
        change.name, change.etag = contract.nothing, STALE[0]
        for mask in ((), ("*",), contract.facts.read_only):
            await not_found(contract.update(change, *mask))

    @pytest.mark.verbs("Update")
    async def test_a_stale_etag_costs_no_more_round_trips(self, contract: Contract, app: App) -> None:
        """On PostgreSQL one statement refuses a stale etag, and one finds no resource, as one makes the change."""
        if app.database.backend.name != "postgresql":
            pytest.skip("SQLite has no round trips")
        found = await contract.create()
        field = next(name for name in contract.changeable if contract.facts.columns(name))
        change = await contract.replacement_of(found)
        for name, etag in ((found.name, STALE[0]), (contract.nothing, STALE[0]), (found.name, found.etag)):
            sent = with_etag(change, etag)
            sent.name = name
            with counting(app) as statements:
                if etag == STALE[0]:
                    await refused(contract.update(sent, field))
                else:
                    await contract.update(sent, field)
            # Collections, which other tables keep, are read after a change.
            assert len(statements) == 1 + (len(contract.facts.collections) if etag == found.etag else 0)

    @pytest.mark.traits("Delete etag")
    async def test_a_delete_needs_the_etag_that_it_is_sent(self, contract: Contract) -> None:
        """A Delete with a stale etag is ABORTED and deletes nothing; with the current one, or none, it deletes."""
        found = await contract.create(plain=True)
        for etag in STALE:
            await stale(contract, found, contract.call("Delete", name=found.name, etag=etag))
        await contract.call("Delete", name=found.name, etag=found.etag)
        for etag in (found.etag, STALE[0]):
            await not_found(contract.call("Delete", name=found.name, etag=etag))

    @pytest.mark.traits("Delete etag")
    async def test_of_many_deletes_with_one_etag_one_is_made(self, contract: Contract) -> None:
        """Of Deletes at the same time with one etag exactly one succeeds, and the others find nothing."""
        found = await contract.create(plain=True)

        async def write(found: Any) -> Any:
            return await contract.call("Delete", name=found.name, etag=found.etag)

        assert {answer.code for answer in await race(write, found)} == {grpc.StatusCode.NOT_FOUND}

    @pytest.mark.verbs("Update")
    @pytest.mark.traits("Delete etag")
    async def test_an_update_and_a_delete_with_one_etag_are_not_both_made(self, contract: Contract) -> None:
        """Of an Update and a Delete at the same time with one etag exactly one succeeds."""
        for _ in range(4):
            found = await contract.create(plain=True)
            change = with_etag(await contract.replacement_of(found), found.etag)
            answers = await asyncio.gather(
                contract.update(change, contract.changeable[0]),
                contract.call("Delete", name=found.name, etag=found.etag),
                return_exceptions=True,
            )
            failed = [refusal(each) for each in answers if isinstance(each, grpc.aio.AioRpcError)]
            assert len(failed) == 1, answers
            if isinstance(answers[0], grpc.aio.AioRpcError):
                assert failed[0].code is grpc.StatusCode.NOT_FOUND
            else:
                check_stale(failed[0], answers[0])

    @pytest.mark.traits("Delete etag", "force", "children")
    async def test_a_forced_delete_needs_the_etag_too(self, contract: Contract) -> None:
        """A Delete with force and a stale etag deletes nothing, nor what is below."""
        found = await contract.create(plain=True)
        below = [
            await contract.of(each, found.name).create(plain=True)
            for each in contract.served.children(contract.facts)
        ]
        await stale(contract, found, contract.call("Delete", name=found.name, force=True, etag=STALE[0]))
        for each, facts in zip(below, contract.served.children(contract.facts), strict=True):
            assert await contract.of(facts).get(each.name) == each
        await contract.call("Delete", name=found.name, force=True, etag=found.etag)
        await check_deleted(contract, found.name)

    @pytest.mark.verbs("Create")
    @pytest.mark.traits("transitions")
    async def test_a_transition_needs_the_etag_that_it_is_sent(self, contract: Contract) -> None:
        """Of transitions with one etag one is made; a stale etag is ABORTED before the state is looked at."""
        start = await contract.create(plain=True)
        for state, way in ways(contract, state_of(start)).items():
            for name, transition in contract.facts.transitions.items():
                if "etag" not in contract.facts.package[name].input_type.fields_by_name:
                    continue
                found = await brought(contract, way)
                for etag in STALE[:3]:
                    await stale(contract, found, contract.rpc(name, name=found.name, etag=etag))
                if state not in transition.sources:
                    continue

                async def write(found: Any, name: str = name) -> Any:
                    return await contract.rpc(name, name=found.name, etag=found.etag)

                answers = await race(write, found, 4)
                current = await contract.get(found.name)
                assert current.etag != found.etag
                for answer in answers:
                    check_stale(answer, current)

    @pytest.mark.verbs("Create", "Update")
    @pytest.mark.traits("chosen id")
    async def test_a_new_resource_under_an_old_name_has_another_etag(self, contract: Contract) -> None:
        """An etag of a resource that was deleted is stale for the one that is made under its name."""
        found = await contract.create(plain=True)
        chosen = contract.facts.chosen_id
        assert chosen is not None
        await contract.call("Delete", name=found.name)
        parent = {"parent": found.name.rsplit("/", 2)[0]} if contract.names.parent else {}
        again = await contract.create(plain=True, **parent, **{chosen.name: found.name.rpartition("/")[2]})
        assert again.name == found.name
        change = with_etag(await contract.replacement_of(again), found.etag)
        await stale(contract, again, contract.update(change, contract.changeable[0]))

    @pytest.mark.traits("singleton")
    @pytest.mark.verbs("Update")
    async def test_a_singleton_has_an_etag_before_it_is_written(self, contract: Contract) -> None:
        """Of first Updates at the same time with the etag of what nobody wrote, exactly one succeeds."""
        for _ in range(4):
            found = await contract.create()
            change = with_etag(await contract.change_of(found), found.etag)

            async def write(_: Any, change: Any = change) -> Any:
                return await contract.update(change, "*")

            answers = await race(write, found)
            current = await contract.get(found.name)
            assert current.etag != found.etag
            for answer in answers:
                check_stale(answer, current)
