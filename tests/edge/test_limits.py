"""What a caller sends is repeated to it only so far as a status can carry: an error stays the error that it is."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from marketplace.v1 import user_pb2

from tests.status import Refusal, refusal

# Clients take 8 KiB of headers, among them those of the status.
HEADERS = 8 << 10
LONG = 20_000

# Each takes other space in a status: in UTF-8, and in the percent-encoding of its message.
TEXTS = {"ascii": "x", "percent": "%", "wide": "\N{GRINNING FACE}", "quoted": "\x00"}


async def refused(call: Any) -> Refusal:
    """Return what a call was told that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    told = refusal(caught.value)
    headers = caught.value.trailing_metadata()
    assert sum(len(key) + len(value) for key, value in headers or ()) + len(told.message) < HEADERS
    return told


def update(*paths: str) -> user_pb2.UpdateUserRequest:
    """Return an Update with a mask."""
    return user_pb2.UpdateUserRequest(user=user_pb2.User(name="users/1"), update_mask=FieldMask(paths=paths))


REQUESTS: dict[str, Callable[[str], Message]] = {
    "GetUser": lambda long: user_pb2.GetUserRequest(name=long),
    "GetUser of a user": lambda long: user_pb2.GetUserRequest(name=f"users/{long}"),
    "DeleteUser": lambda long: user_pb2.DeleteUserRequest(name=long),
    "DeleteUser of a user": lambda long: user_pb2.DeleteUserRequest(name=f"users/{long}"),
    "ListUsers": lambda long: user_pb2.ListUsersRequest(page_token=long),
    "UpdateUser": update,
    "UpdateUser below a field": lambda long: update(f"full_name.{long}"),
    "UpdateUser of a user": lambda long: user_pb2.UpdateUserRequest(user=user_pb2.User(name=f"users/{long}")),
    "CreateUser": lambda long: user_pb2.CreateUserRequest(
        user=user_pb2.User(email=long, username=long, full_name=long, password=long)
    ),
}


@pytest.mark.parametrize("character", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("request_", REQUESTS)
async def test_a_long_text_is_refused_for_what_it_is(users: Any, request_: str, character: str) -> None:
    """A text of 20,000 characters is the caller's error with an ErrorInfo, and not an answer too large to read."""
    told = await refused(getattr(users, request_.partition(" ")[0])(REQUESTS[request_](character * LONG)))
    assert told.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    assert character * 300 not in told.message


async def test_a_mask_of_many_unknown_paths_is_refused_for_what_it_is(users: Any) -> None:
    """A mask of 3,000 paths that the resource does not have is INVALID_ARGUMENT on its paths."""
    told = await refused(users.UpdateUser(update(*(f"unknown_{number}" for number in range(3000)))))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.fields.keys() == {"update_mask.paths"}
