"""Helpers of the suite's tests: statuses that a call must have, and comparisons."""

from collections.abc import Awaitable
from typing import Any

import grpc
import pytest

from tablestakes.testing.resource import Contract, told, without
from tablestakes.testing.status import Refusal, refusal

SESSION_LOOP = pytest.mark.asyncio(loop_scope="session")
"""Servers and connections live as long as the session, and so does the event loop that they are on."""


CHANGING = ("update_time", "etag")
"""The fields that change whenever a resource does."""

MINUTE = 60
"""The seconds by which a server's clock may be wrong."""


async def refused(call: Awaitable[Any]) -> Refusal:
    """Return the status of a call, which must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)


async def invalid(call: Awaitable[Any]) -> Refusal:
    """Return the status of a call, which must be INVALID_ARGUMENT."""
    found = await refused(call)
    assert found.code is grpc.StatusCode.INVALID_ARGUMENT
    return found


async def not_found(call: Awaitable[Any]) -> Refusal:
    """Return the status of a call, which must be NOT_FOUND."""
    found = await refused(call)
    assert found.code is grpc.StatusCode.NOT_FOUND
    return found


async def check_deleted(contract: Contract, name: str) -> None:
    """Check that a resource is deleted: it is not found, or by Get alone where it can be restored."""
    if contract.facts.deletes_softly:
        assert (await contract.get(name)).HasField("delete_time")
    else:
        await not_found(contract.get(name))


async def remove(contract: Contract, name: str, **fields: Any) -> None:
    """Delete a resource for good."""
    await contract.call("Delete", name=name, **fields)
    if contract.facts.deletes_softly:
        await purge(contract, f'name = "{name}"')


async def purge(contract: Contract, only: str, **fields: Any) -> Any:
    """Remove deleted resources by a filter, or count them, and return the response."""
    parent = {"parent": contract.above.named("-")} if contract.names.parent else {}
    return await contract.call("Purge", **{"filter": only, "force": True} | parent | fields)


def check_later(before: Any, after: Any) -> None:
    """Check that update_time moved, where the resource has one."""
    if "update_time" in before.DESCRIPTOR.fields_by_name:
        assert after.update_time.ToNanoseconds() > before.update_time.ToNanoseconds()


def check_same_but(before: Any, after: Any, *fields: str) -> None:
    """Check that two messages are equal but for some fields, and what changes with them: update_time and etag."""
    assert without(before, *CHANGING, *fields) == without(after, *CHANGING, *fields), fields


def check_told(answer: Any, sent: Any) -> None:
    """Check that an answer has what was sent."""
    assert told(answer) == told(sent)
