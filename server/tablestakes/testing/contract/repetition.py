"""`request_id`, for every request of a standard method or a transition that has it, on every database (AIP-155)."""

from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from tablestakes.testing.contract.common import SESSION_LOOP, check_deleted, invalid, refused
from tablestakes.testing.contract.transition import state_of
from tablestakes.testing.resource import Contract


def request_of(method: MethodDescriptor, **fields: Any) -> Any:
    """Return a request with an id of its own."""
    return GetMessageClass(method.input_type)(**{"request_id": str(uuid4())} | fields)


async def check_repeated(contract: Contract, method: MethodDescriptor, request: Any, first: bytes) -> None:
    """Check that a request is given its first answer again, and refused with another body where it has `force`."""
    assert await contract.raw(method, request) == (first, True)
    if "force" in request.DESCRIPTOR.fields_by_name:
        other = type(request)()
        other.CopyFrom(request)
        other.force = not request.force
        answer = await invalid(contract.raw(method, other))
        assert answer.reasons == {"request_id": "REQUEST_ID_REUSED"}


@SESSION_LOOP
@pytest.mark.verbs("Get")
class TestRepetition:
    """`request_id`, for every request that has it, on every database (AIP-155)."""

    @pytest.mark.verbs("List")
    @pytest.mark.traits("Create request_id")
    async def test_a_repeated_create_creates_one(self, contract: Contract) -> None:
        """A repeated Create is answered byte for byte as the first, says so, and one resource is there."""
        method = contract.facts.methods["Create"]
        sent, beside = await contract.sample(), await contract.beside()
        request = request_of(method, **{contract.body: sent}, **beside)
        before = len(await contract.everything())
        first, replayed = await contract.raw(method, request)
        assert not replayed
        created: Any = contract.resource.message.FromString(first)
        assert await contract.get(created.name)
        await check_repeated(contract, method, request, first)
        assert len(await contract.everything()) == before + 1
        # Another body with the same id.
        other = request_of(method, **{contract.body: await contract.sample()}, **beside)
        other.request_id = request.request_id
        assert (await invalid(contract.raw(method, other))).reasons == {"request_id": "REQUEST_ID_REUSED"}

    @pytest.mark.traits("Create request_id", "unique")
    async def test_a_create_that_failed_may_be_repeated(self, contract: Contract) -> None:
        """A Create that was refused has used up nothing: the same id is refused again for the same reason."""
        first = await contract.sample()
        beside = await contract.beside()
        await contract.create(first, **beside)
        method = contract.facts.methods["Create"]
        request = request_of(method, **{contract.body: first}, **beside)
        answers = [await refused(contract.raw(method, request)) for _ in range(2)]
        assert answers[0] == answers[1]
        assert answers[0].code is grpc.StatusCode.ALREADY_EXISTS

    @pytest.mark.traits("Create request_id", "Create validate_only")
    async def test_a_rehearsed_create_uses_up_no_id(self, contract: Contract) -> None:
        """A Create with validate_only leaves the id to the one without."""
        method = contract.facts.methods["Create"]
        request = request_of(method, **{contract.body: await contract.sample()}, **(await contract.beside()))
        request.validate_only = True
        for _ in range(2):
            _, replayed = await contract.raw(method, request)
            assert not replayed
        request.validate_only = False
        data, replayed = await contract.raw(method, request)
        assert not replayed
        created: Any = contract.resource.message.FromString(data)
        assert await contract.get(created.name)

    @pytest.mark.traits("Create request_id")
    async def test_an_id_that_is_no_uuid4_is_refused(self, contract: Contract) -> None:
        """An id that is no UUID of version 4 is INVALID_ARGUMENT on `request_id`."""
        method = contract.facts.methods["Create"]
        sent, beside = await contract.sample(), await contract.beside()
        for wrong in ("1", "00000000-0000-0000-0000-000000000000", "f47ac10b-58cc-1372-8567-0e02b2c3d479"):
            request = request_of(method, **{contract.body: sent}, **beside, request_id=wrong)
            answer = await invalid(contract.raw(method, request))
            assert answer.reasons == {"request_id": "INVALID_REQUEST_ID"}

    @pytest.mark.traits("Update request_id")
    async def test_a_repeated_update_changes_once(self, contract: Contract) -> None:
        """A repeated Update is given its first answer, and does not undo what was changed in between."""
        method = contract.facts.methods["Update"]
        stored = await contract.create()
        request = request_of(method, **{contract.body: await contract.replacement_of(stored)})
        first, replayed = await contract.raw(method, request)
        assert not replayed
        between = await contract.update(await contract.replacement_of(stored))
        await check_repeated(contract, method, request, first)
        assert await contract.get(stored.name) == between

    @pytest.mark.verbs("Create")
    @pytest.mark.traits("Delete request_id")
    async def test_a_repeated_delete_is_answered(self, contract: Contract) -> None:
        """A repeated Delete is answered as the first, and not NOT_FOUND."""
        method = contract.facts.methods["Delete"]
        created = await contract.create(plain=True)
        request = request_of(method, name=created.name)
        first, replayed = await contract.raw(method, request)
        assert not replayed
        if not contract.facts.deletes_softly:
            assert first == b""
        await check_repeated(contract, method, request, first)
        await check_deleted(contract, created.name)

    @pytest.mark.verbs("Create")
    @pytest.mark.traits("transitions")
    async def test_a_repeated_transition_is_answered(self, contract: Contract) -> None:
        """A repeated transition is answered as the first, though the state does not allow it any more."""
        for name, transition in contract.facts.transitions.items():
            method = contract.facts.package[name]
            created = await contract.create(plain=True)
            if "request_id" not in method.input_type.fields_by_name or state_of(created) not in transition.sources:
                continue
            request = request_of(method, name=created.name)
            first, replayed = await contract.raw(method, request)
            assert not replayed
            await check_repeated(contract, method, request, first)
