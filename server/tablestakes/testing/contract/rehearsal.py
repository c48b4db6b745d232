"""`validate_only`, for every request that has it, on every database (AIP-163)."""

from typing import Any

import grpc
import pytest

from tablestakes.testing.contract.common import SESSION_LOOP, check_same_but, invalid, not_found, refused
from tablestakes.testing.contract.transition import brought, state_of, ways
from tablestakes.testing.resource import Contract, copy_fields, told


@SESSION_LOOP
@pytest.mark.verbs("Get")
class TestRehearsal:
    """`validate_only`, for every request that has it, on every database (AIP-163)."""

    @pytest.mark.verbs("List")
    @pytest.mark.traits("Create validate_only")
    async def test_a_rehearsed_create_creates_nothing(self, contract: Contract) -> None:
        """A Create with validate_only answers as one without, and the resource that it names is not there."""
        before = [each.name for each in await contract.everything()]
        sent = await contract.sample(plain=True)
        answer = await contract.create(sent, validate_only=True)
        assert told(answer) == told(sent)
        await not_found(contract.get(answer.name))
        assert [each.name for each in await contract.everything()] == before
        # The values are free still.
        assert told(await contract.create(sent)) == told(sent)

    @pytest.mark.traits("Create validate_only", "required")
    async def test_a_rehearsed_create_is_refused_by_its_fields(self, contract: Contract) -> None:
        """A Create with validate_only of an empty resource names the fields that one without would name."""
        answer = await invalid(contract.create(contract.resource.message(), validate_only=True))
        assert answer.fields.keys() == contract.facts.required()

    @pytest.mark.traits("Create validate_only", "unique")
    async def test_a_rehearsed_create_meets_the_constraints(self, contract: Contract) -> None:
        """A Create with validate_only of a taken value is ALREADY_EXISTS, as one without is."""
        first = await contract.sample()
        await contract.create(first)
        for fields in contract.facts.unique:
            second = await contract.sample()
            copy_fields(first, second, fields)
            answers = [await refused(contract.create(second, validate_only=each)) for each in (True, False)]
            assert answers[0] == answers[1]
            assert answers[0].code is grpc.StatusCode.ALREADY_EXISTS

    @pytest.mark.traits("Update validate_only")
    async def test_a_rehearsed_update_changes_nothing(self, contract: Contract) -> None:
        """An Update with validate_only answers with the change, and the resource stays as it was."""
        before = await contract.create()
        change: Any = await contract.replacement_of(before)
        answer = await contract.update(change, "*", validate_only=True)
        assert told(answer) == told(change)
        assert await contract.get(before.name) == before
        check_same_but(answer, await contract.update(change, "*"))

    @pytest.mark.traits("Update validate_only")
    async def test_a_rehearsed_update_of_nothing_is_not_found(self, contract: Contract) -> None:
        """An Update with validate_only of what does not exist is NOT_FOUND."""
        change = await contract.sample()
        change.name = contract.nothing
        await not_found(contract.update(change, validate_only=True))

    @pytest.mark.verbs("Create")
    @pytest.mark.traits("Delete validate_only")
    async def test_a_rehearsed_delete_deletes_nothing(self, contract: Contract) -> None:
        """A Delete with validate_only answers as one without, and the resource is still there."""
        created = await contract.create(plain=True)
        answer = await contract.call("Delete", name=created.name, validate_only=True)
        assert answer.ByteSize() == 0 or answer.HasField("delete_time")
        assert await contract.get(created.name) == created
        await not_found(contract.call("Delete", name=contract.nothing, validate_only=True))

    @pytest.mark.verbs("Create")
    @pytest.mark.traits("transitions")
    async def test_a_rehearsed_transition_changes_nothing(self, contract: Contract) -> None:
        """A transition with validate_only answers as one without, and leaves the resource as it was."""
        start = await contract.create(plain=True)
        for state, way in ways(contract, state_of(start)).items():
            for name, transition in contract.facts.transitions.items():
                if "validate_only" not in contract.facts.package[name].input_type.fields_by_name:
                    continue
                before = await brought(contract, way)
                if state in transition.sources:
                    answer = await contract.rpc(name, name=before.name, validate_only=True)
                    assert state_of(answer) == transition.target
                else:
                    answers = [
                        await refused(contract.rpc(name, name=before.name, validate_only=each))
                        for each in (True, False)
                    ]
                    assert answers[0] == answers[1]
                assert await contract.get(before.name) == before
