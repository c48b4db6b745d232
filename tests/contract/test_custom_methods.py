"""Constraints that a custom method violates are answered by field, as those that a standard one violates."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from marketplace_service import SERVICE as MARKETPLACE
from tablestakes import Call, Schema, Session, Work, not_found
from tablestakes.testing.status import Refusal, refusal
from tests.gadgets import GADGET, gadget_pb2, gadget_pb2_grpc
from tests.service import with_gadgets


async def create_gadget(gadgets: Schema, call: Call[Any]) -> Work[Message]:
    """Create a gadget, by nothing but what a function is given."""
    parts = [field for field in gadgets.fields.values() if field.writable]
    values = await gadgets.values(call.request.gadget, parts, "gadget")
    return Work(lambda session: gadgets.full.to_message(gadgets.rows.insert(session, values)), writes=values)


async def update_gadget(gadgets: Schema, call: Call[Any]) -> Work[Message]:
    """Update every field of a gadget, in the same way."""
    gadget = call.request.gadget
    key = gadgets.names.parse(gadget.name, "gadget.name")
    values = await gadgets.values(gadget, [field for field in gadgets.fields.values() if field.writable], "gadget")

    def change(session: Session) -> Message:
        row = gadgets.rows.update(session, key, values)
        if row is None:
            raise not_found(gadget.name)
        return gadgets.full.to_message(row)

    return Work(change, writes=values, key=key)


BY_FUNCTIONS = replace(
    GADGET, methods={**GADGET.methods, "CreateGadget": create_gadget, "UpdateGadget": update_gadget}
)
# Gadgets whose Create and Update are functions.
TESTED_SERVICE = with_gadgets(replace(MARKETPLACE, resources=()), BY_FUNCTIONS)
STANDARD = with_gadgets(replace(MARKETPLACE, resources=()))


@pytest.fixture
async def both(app: Any, apps: Any) -> AsyncIterator[list[Any]]:
    """The stubs of gadgets whose methods are functions, and of others whose methods are standard."""
    other = await apps(STANDARD, app.database.backend.name)
    async with (
        grpc.aio.insecure_channel(app.address) as functions,
        grpc.aio.insecure_channel(other.address) as standard,
    ):
        yield [gadget_pb2_grpc.GadgetServiceStub(each) for each in (functions, standard)]


async def refused(call: Any) -> Refusal:
    """Return the status of a call, which must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)


async def ensure_taken(gadgets: Any) -> None:
    """Have a gadget with the label `taken`."""
    request = gadget_pb2.CreateGadgetRequest(gadget=gadget_pb2.Gadget(label="taken", weight=1))
    try:
        await gadgets.CreateGadget(request)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise


BROKEN = [
    ({"label": "taken", "weight": 1}, grpc.StatusCode.ALREADY_EXISTS, ["gadget.label", "gadget.series"]),
    ({"label": "heavy", "weight": 1, "level": 10}, grpc.StatusCode.INVALID_ARGUMENT, ["gadget.level"]),
    ({"label": "light"}, grpc.StatusCode.INVALID_ARGUMENT, ["gadget.weight"]),
    (
        {"label": "lone", "weight": 1, "twin": "gadgets/999999999"},
        grpc.StatusCode.INVALID_ARGUMENT,
        ["gadget.twin"],
    ),
]


@pytest.mark.parametrize(("fields", "code", "paths"), BROKEN, ids=["unique", "check", "not null", "foreign key"])
async def test_a_create_is_refused_by_its_fields(
    both: list[Any], fields: dict[str, Any], code: grpc.StatusCode, paths: list[str]
) -> None:
    """A Create that violates a constraint has one answer, whether it is a function or standard."""
    answers = []
    for gadgets in both:
        await ensure_taken(gadgets)
        request = gadget_pb2.CreateGadgetRequest(gadget=gadget_pb2.Gadget(**fields))
        answers.append(await refused(gadgets.CreateGadget(request)))
    assert answers[0] == answers[1]
    assert (answers[0].code, list(answers[0].fields)) == (code, paths)


@pytest.mark.parametrize(("fields", "code", "paths"), BROKEN, ids=["unique", "check", "not null", "foreign key"])
async def test_an_update_is_refused_by_its_fields(
    both: list[Any], fields: dict[str, Any], code: grpc.StatusCode, paths: list[str]
) -> None:
    """An Update that violates a constraint has one answer, whether it is a function or standard."""
    answers = []
    for gadgets in both:
        await ensure_taken(gadgets)
        made = {"label": f"free {fields['label']}", "weight": 1}
        created = await gadgets.CreateGadget(gadget_pb2.CreateGadgetRequest(gadget=gadget_pb2.Gadget(**made)))
        change = gadget_pb2.Gadget(**fields, name=created.name)
        request = gadget_pb2.UpdateGadgetRequest(gadget=change, update_mask={"paths": ["*"]})
        answers.append(await refused(gadgets.UpdateGadget(request)))
        await gadgets.DeleteGadget(gadget_pb2.DeleteGadgetRequest(name=created.name))
    assert answers[0] == answers[1]
    assert (answers[0].code, list(answers[0].fields)) == (code, paths)
