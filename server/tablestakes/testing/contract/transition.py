"""Methods that change a state and nothing else, for every resource that has any, on every database (AIP-216)."""

from typing import Any

import grpc
import pytest

from tablestakes.testing.contract.common import (
    CHANGING,
    SESSION_LOOP,
    check_later,
    refused,
)
from tablestakes.testing.resource import Contract


def state_of(message: Any) -> str:
    """Return the name of the state that a resource is in."""
    name: str = message.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number[message.state].name
    return name


def ways(contract: Contract, start: str) -> dict[str, tuple[str, ...]]:
    """Return the transitions that lead from a state to each that they can reach."""
    found: dict[str, tuple[str, ...]] = {start: ()}
    open_ = [start]
    while open_:
        state = open_.pop(0)
        for name, transition in contract.facts.transitions.items():
            if state in transition.sources and transition.target not in found:
                found[transition.target] = (*found[state], name)
                open_.append(transition.target)
    return found


async def brought(contract: Contract, way: tuple[str, ...]) -> Any:
    """Return a new resource after some transitions."""
    created = await contract.create(plain=True)
    for step in way:
        created = await contract.rpc(step, name=created.name)
    return created


def _check_changed(before: Any, after: Any, target: str, stamp: str | None) -> None:
    """Check that a transition changed the state, update_time, what it stamps, and nothing else."""
    assert state_of(after) == target
    check_later(before, after)
    if stamp:
        assert not before.HasField(stamp)
        assert getattr(after, stamp) == after.update_time
    rest = [type(before)(), type(after)()]
    for copy, message in zip(rest, (before, after), strict=True):
        copy.CopyFrom(message)
        for field in filter(None, ("state", *CHANGING, stamp)):
            copy.ClearField(field)
    assert rest[0] == rest[1]


@SESSION_LOOP
@pytest.mark.verbs("Create", "Get")
@pytest.mark.traits("transitions")
class TestTransition:
    """Methods that only change a state, for every resource that has any, on every database (AIP-216)."""

    async def test_each_transition_is_allowed_from_its_sources_alone(self, contract: Contract) -> None:
        """From every state in reach each transition leads to its target, or is refused and leaves all as it was."""
        start = state_of(await contract.create(plain=True))
        for state, way in ways(contract, start).items():
            for name, transition in contract.facts.transitions.items():
                before = await brought(contract, way)
                assert state_of(before) == state
                if state in transition.sources:
                    after = await contract.rpc(name, name=before.name)
                    _check_changed(before, after, transition.target, transition.stamp)
                    assert await contract.get(before.name) == after
                    continue
                answer = await refused(contract.rpc(name, name=before.name))
                assert (answer.code, answer.info.reason) == (
                    grpc.StatusCode.FAILED_PRECONDITION,
                    "STATE_NOT_ALLOWED",
                )
                assert dict(answer.info.metadata) == {
                    "resource": before.name,
                    "state": state,
                    "target": transition.target,
                }
                assert state in answer.message
                assert transition.target in answer.message
                assert await contract.get(before.name) == before

    async def test_a_transition_of_nothing_is_not_found(self, contract: Contract) -> None:
        """A transition of what does not exist is NOT_FOUND, and of what is no name INVALID_ARGUMENT on `name`."""
        for name in contract.facts.transitions:
            answer = await refused(contract.rpc(name, name=contract.nothing))
            assert answer.code is grpc.StatusCode.NOT_FOUND
            assert answer.info.metadata["resource"] == contract.nothing
            for wrong in ("things/1", ""):
                assert list((await refused(contract.rpc(name, name=wrong))).fields) == ["name"]
