"""Bad input: the status, the ErrorInfo and the field of each kind."""

import math
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marketplace.v1 import user_pb2, user_pb2_grpc

from tests.gadgets import gadget_pb2
from tests.serving import serving, settings_for
from tests.status import Refusal, refusal

METHODS = ("GetUser", "ListUsers", "CreateUser", "UpdateUser", "DeleteUser")


async def refused(call: Any) -> Refusal:
    """Return the status of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)


def user(**fields: Any) -> user_pb2.CreateUserRequest:
    """Return a Create of a user that is valid but for the fields given."""
    valid: dict[str, Any] = {"email": "bad@example.com", "username": "bad_input"}
    return user_pb2.CreateUserRequest(user=user_pb2.User(**(valid | fields)))


def raw(channel: grpc.aio.Channel, method: str) -> "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]":
    """Return a method of UserService that sends bytes as they are."""
    return channel.unary_unary(f"/marketplace.v1.UserService/{method}")


async def test_a_duplicate_email_is_named(users: Any) -> None:
    """A second user with an email, in whatever case, is ALREADY_EXISTS on `user.email`."""
    await users.CreateUser(user(email="Twice@Example.com", username="twice_1"))
    told = await refused(users.CreateUser(user(email="twice@EXAMPLE.com", username="twice_2")))
    assert told.code is grpc.StatusCode.ALREADY_EXISTS
    assert (told.info.reason, told.info.domain) == ("ALREADY_EXISTS", "marketplace.example.com")
    assert told.fields == {"user.email": "is taken by another resource."}


async def test_a_duplicate_on_a_shard_is_named(postgres_url: str) -> None:
    """A unique constraint that a distributed PostgreSQL names after its shard is still mapped to its field."""
    async with serving(settings_for(postgres_url)) as app, grpc.aio.insecure_channel(app.address) as channel:
        async with app.database.engine.connect() as connection:
            await connection.exec_driver_sql("ALTER INDEX ix_users_email RENAME TO ix_users_email_102016")
        users = user_pb2_grpc.UserServiceStub(channel)
        await users.CreateUser(user(email="shard@example.com", username="shard_1"))
        told = await refused(users.CreateUser(user(email="shard@example.com", username="shard_2")))
    assert told.code is grpc.StatusCode.ALREADY_EXISTS
    assert told.reasons == {"user.email": "ALREADY_EXISTS"}


async def test_a_duplicate_by_update_is_named(users: Any) -> None:
    """An Update to another user's username is ALREADY_EXISTS on `user.username`."""
    await users.CreateUser(user(email="first@example.com", username="first_of_two"))
    second = await users.CreateUser(user(email="second@example.com", username="second_of_two"))
    second.username = "first_of_two"
    told = await refused(users.UpdateUser(user_pb2.UpdateUserRequest(user=second)))
    assert told.code is grpc.StatusCode.ALREADY_EXISTS
    assert list(told.fields) == ["user.username"]


async def test_a_name_of_300_characters_is_refused(users: Any) -> None:
    """A full_name over its limit is INVALID_ARGUMENT on `user.full_name`, and the limit is told."""
    told = await refused(users.CreateUser(user(full_name="x" * 300)))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.info.reason == "STRING_MAX_LEN"
    assert told.fields == {"user.full_name": "must be at most 200 characters."}


async def test_every_violation_is_told_at_once(users: Any) -> None:
    """A request with several mistakes is answered once, with all of them."""
    told = await refused(users.CreateUser(user(email="nobody", username="9", full_name="x" * 201)))
    assert told.fields.keys() == {"user.email", "user.username", "user.full_name"}
    assert told.info.reason == "INVALID_FIELDS"


@pytest.mark.parametrize("method", METHODS)
async def test_bytes_that_are_no_message_are_refused(channel: grpc.aio.Channel, method: str) -> None:
    """Malformed protobuf is INVALID_ARGUMENT with an ErrorInfo, for every method."""
    told = await refused(raw(channel, method)(b"\xff\xff\xff\xff"))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.info.reason == "MALFORMED_REQUEST"
    assert told.info.metadata["type"] == f"marketplace.v1.{method}Request"


@given(data=st.binary(max_size=200), method=st.sampled_from(METHODS))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_random_bytes_get_an_answer_that_tells_the_truth(
    channel: grpc.aio.Channel, data: bytes, method: str
) -> None:
    """Whatever bytes arrive, the answer is OK or blames the request, and always has an ErrorInfo."""
    try:
        await raw(channel, method)(data, timeout=10)
    except grpc.aio.AioRpcError as error:
        told = refusal(error)
        assert told.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)


async def test_text_that_is_not_utf8_is_refused(channel: grpc.aio.Channel) -> None:
    """A string field with bytes that are not UTF-8 is malformed, not an internal error."""
    told = await refused(raw(channel, "GetUser")(b"\x0a\x02\xc3\x28"))
    assert told.info.reason == "MALFORMED_REQUEST"


async def test_a_not_null_column_names_its_field(gadgets: Any) -> None:
    """A value that only the database finds missing is INVALID_ARGUMENT by the field's path."""
    told = await refused(gadgets.CreateGadget(gadget_pb2.CreateGadgetRequest(gadget={"label": "weightless"})))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.info.reason == "REQUIRED_FIELD"
    assert told.fields == {"gadget.weight": "must be set."}


async def test_a_check_constraint_names_its_field(gadgets: Any) -> None:
    """A value that only the database forbids is INVALID_ARGUMENT by the field's path."""
    gadget = {"label": "level", "weight": 1, "level": 10}
    told = await refused(gadgets.CreateGadget(gadget_pb2.CreateGadgetRequest(gadget=gadget)))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.fields == {"gadget.level": "has a value that is not allowed."}


async def test_values_that_are_unique_together_are_named_together(gadgets: Any) -> None:
    """A unique constraint over two columns names both fields."""
    gadget = gadget_pb2.CreateGadgetRequest(gadget={"label": "pair", "series": "s", "weight": 1})
    await gadgets.CreateGadget(gadget)
    told = await refused(gadgets.CreateGadget(gadget))
    assert told.code is grpc.StatusCode.ALREADY_EXISTS
    assert told.fields.keys() == {"gadget.label", "gadget.series"}
    gadget.gadget.series = "t"
    assert (await gadgets.CreateGadget(gadget)).series == "t"


async def test_a_number_that_its_column_cannot_hold_is_refused(gadgets: Any) -> None:
    """A 64-bit number for a 32-bit column is refused on PostgreSQL and kept whole on SQLite, and never cut off."""
    gadget = gadget_pb2.CreateGadgetRequest(gadget={"label": "heavy", "weight": 1 << 40})
    try:
        assert (await gadgets.CreateGadget(gadget)).weight == 1 << 40
    except grpc.aio.AioRpcError as error:
        told = refusal(error)
        assert told.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_timestamp_out_of_range_is_refused(gadgets: Any) -> None:
    """An instant before the year 1 or after 9999 is INVALID_ARGUMENT by the field's path."""
    for seconds in (-(1 << 40), 1 << 40):
        gadget = {"label": f"due {seconds}", "weight": 1, "due_time": {"seconds": seconds}}
        told = await refused(gadgets.CreateGadget(gadget_pb2.CreateGadgetRequest(gadget=gadget)))
        assert list(told.fields) == ["gadget.due_time"]


@pytest.mark.parametrize("nanos", [-1, 1_000_000_000])
async def test_nanos_out_of_range_are_refused(gadgets: Any, nanos: int) -> None:
    """An instant whose nanos are less than none or a second and more is INVALID_ARGUMENT by the field's path."""
    gadget = {"label": f"nanos {nanos}", "weight": 1, "due_time": {"nanos": nanos}}
    told = await refused(gadgets.CreateGadget(gadget_pb2.CreateGadgetRequest(gadget=gadget)))
    assert told.reasons == {"gadget.due_time": "TIMESTAMP_OUT_OF_RANGE"}


async def test_nan_is_refused(gadgets: Any) -> None:
    """NaN, which not every database keeps, is INVALID_ARGUMENT by the field's path."""
    gadget = {"label": "nan", "weight": 1, "ratio": math.nan}
    told = await refused(gadgets.CreateGadget(gadget_pb2.CreateGadgetRequest(gadget=gadget)))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.reasons == {"gadget.ratio": "NOT_A_NUMBER"}


async def test_a_token_is_bound_to_its_request(gadgets: Any) -> None:
    """A token sent with another request than the one it answered is INVALID_ARGUMENT on `page_token`."""
    for label in ("bound 1", "bound 2"):
        await gadgets.CreateGadget(gadget_pb2.CreateGadgetRequest(gadget={"label": label, "weight": 1}))
    first = await gadgets.ListGadgets(gadget_pb2.ListGadgetsRequest(page_size=1, hint="a"))
    again = {"page_token": first.next_page_token}
    assert (await gadgets.ListGadgets(gadget_pb2.ListGadgetsRequest(hint="a", **again))).gadgets
    told = await refused(gadgets.ListGadgets(gadget_pb2.ListGadgetsRequest(hint="b", **again)))
    assert list(told.fields) == ["page_token"]


async def test_a_path_into_a_field_is_refused(gadgets: Any) -> None:
    """A mask's path below a field that callers write is INVALID_ARGUMENT; below one that they do not, ignored."""
    created = await gadgets.CreateGadget(
        gadget_pb2.CreateGadgetRequest(gadget={"label": "into", "weight": 1, "due_time": {"seconds": 5}})
    )
    request = gadget_pb2.UpdateGadgetRequest(gadget=created, update_mask={"paths": ["due_time.seconds"]})
    assert list((await refused(gadgets.UpdateGadget(request))).fields) == ["update_mask"]
    request.update_mask.paths[:] = ["create_time.seconds"]
    assert await gadgets.UpdateGadget(request) == created


async def test_a_request_over_the_size_limit_is_refused(users: Any) -> None:
    """A message above 1 MiB never reaches a handler."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await users.CreateUser(user(full_name="x" * (1 << 20)))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
