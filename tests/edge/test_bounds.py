"""Bounds on what a call can take: its message, its items, its page, its wait."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from marketplace.v1 import order_pb2, post_pb2, post_pb2_grpc, user_pb2, user_pb2_grpc

from marketplace_service.api.password import MAX_WAITING, hash_password
from tablestakes import StatusError
from tablestakes.app import App
from tablestakes.crud.encode import MAX_RESPONSE, encode
from tablestakes.crud.query.page import MAX_BYTES
from tablestakes.crud.query.token import PageTokens
from tablestakes.edge.decode import decoder
from tablestakes.edge.listen import MAX_REQUEST
from tablestakes.edge.validate import validator
from tests.gadgets import gadget_pb2, gadget_pb2_grpc
from tests.service import SERVICE
from tests.serving import create_database, eventually, serving, settings_for
from tests.status import refusal

METHODS = {method.name: method for method in SERVICE.bind(PageTokens(b""))}


@pytest.mark.parametrize("method", ["ListUsers", "CreateUser"])
async def test_a_call_without_a_message_is_answered(channel: grpc.aio.Channel, method: str) -> None:
    """A unary call whose caller ends it without a message is INVALID_ARGUMENT, with an ErrorInfo."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.stream_unary(f"/marketplace.v1.UserService/{method}")(iter([]), timeout=60)
    told = refusal(caught.value)
    assert (told.code, told.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MISSING_REQUEST")


async def test_a_call_of_health_without_a_message_is_answered(channel: grpc.aio.Channel) -> None:
    """A Check whose caller ends it without a message is INVALID_ARGUMENT too."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.stream_unary("/grpc.health.v1.Health/Check")(iter([]), timeout=60)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    assert (await check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING


def _items() -> Message:
    request = order_pb2.CreateOrderRequest()
    request.order.items.extend(order_pb2.OrderItem() for _ in range(450_000))
    return request


def _valid_items() -> Message:
    item = order_pb2.OrderItem(product="products/1", quantity=1)
    request = order_pb2.CreateOrderRequest(order=order_pb2.Order(customer="users/1"))
    request.order.items.extend(item for _ in range(60_000))
    return request


def _names() -> Message:
    return post_pb2.CreatePostRequest(post=post_pb2.Post(author="users/1", title="t", tags=["tags/a"] * 100_000))


def _paths() -> Message:
    return user_pb2.UpdateUserRequest(
        user=user_pb2.User(name="users/1"), update_mask=FieldMask(paths=["email"] * 140_000)
    )


def _text() -> Message:
    long = "a@" + "é" * 200_000
    return user_pb2.CreateUserRequest(user=user_pb2.User(email=long, username=long))


def _unknown() -> Message:
    # Fields that the message does not have.
    request = user_pb2.GetUserRequest(name="users/1")
    request.MergeFromString(b"\xa2\x06\x01x" * 250_000)
    return request


SHAPES: dict[str, tuple[str, Callable[[], Message]]] = {
    "items": ("CreateOrder", _items),
    "valid items": ("CreateOrder", _valid_items),
    "names": ("CreatePost", _names),
    "paths": ("UpdateUser", _paths),
    "text": ("CreateUser", _text),
    "unknown fields": ("GetUser", _unknown),
}


def _seconds(work: Callable[[], object]) -> float:
    before = time.thread_time()
    work()
    return time.thread_time() - before


@pytest.mark.parametrize("shape", SHAPES)
def test_no_request_holds_the_event_loop_for_long(shape: str) -> None:
    """The most expensive requests are decoded and refused in little more CPU than a million steps of a loop."""
    name, make = SHAPES[shape]
    data = make().SerializeToString()
    assert MAX_REQUEST * 0.7 < len(data) <= MAX_REQUEST
    decode, validate = decoder(METHODS[name].request), validator(METHODS[name])

    errors: list[StatusError] = []

    def serve() -> None:
        try:
            validate(decode(data))
        except StatusError as error:
            errors.append(error)

    steps = sorted(_seconds(lambda: sum(number & 1 for number in range(1_000_000))) for _ in range(5))[2]
    assert sorted(_seconds(serve) for _ in range(5))[2] < steps * 1.5
    for error in errors:
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        assert len(error.violations) <= 300


def test_a_response_that_cannot_be_sent_is_an_error_of_ours() -> None:
    """A response above the limit of a message is RESOURCE_EXHAUSTED with a reason, and not left to gRPC's core."""
    with pytest.raises(StatusError) as caught:
        encode(post_pb2.Post(content="x" * (MAX_RESPONSE + 1)))
    assert (caught.value.code, caught.value.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "RESPONSE_TOO_LARGE",
    )


async def test_a_page_ends_early_by_its_bytes(channel: grpc.aio.Channel) -> None:
    """A page of large resources ends before it is too large to send, and its token finds the next one."""
    users, posts = user_pb2_grpc.UserServiceStub(channel), post_pb2_grpc.PostServiceStub(channel)
    name = f"pages{time.time_ns()}"[:30]
    user = await users.CreateUser(
        user_pb2.CreateUserRequest(user=user_pb2.User(email=f"{name}@example.com", username=name))
    )
    # In four bytes each, the largest content that a post can have.
    content = "\N{GRINNING FACE}" * 100_000
    made = []
    for number in range(10):
        post = post_pb2.Post(author=user.name, title=f"Large {number}", content=content)
        made.append((await posts.CreatePost(post_pb2.CreatePostRequest(post=post))).name)
    found: list[str] = []
    sizes: list[int] = []
    token = ""
    while True:
        page = await posts.ListPosts(
            post_pb2.ListPostsRequest(page_size=1000, page_token=token, view=post_pb2.POST_VIEW_FULL)
        )
        found += [post.name for post in page.posts]
        sizes.append(page.ByteSize())
        if not (token := page.next_page_token):
            break
    assert [each for each in found if each in made] == made
    assert len(found) == len(set(found))
    assert max(sizes) <= MAX_BYTES + 1000
    assert len(sizes) > 1
    for each in made:
        await posts.DeletePost(post_pb2.DeletePostRequest(name=each))


@pytest.fixture
async def narrow(server_of_postgres: Any) -> AsyncIterator[App]:
    """A server with one connection, for which a second call has to wait."""
    url = await create_database(server_of_postgres)
    async with serving(settings_for(url, pool_size=1, pool_timeout=60)) as running:
        yield running


@pytest.mark.parametrize("leaves", ["late", "cancelled"])
async def test_work_without_a_connection_is_dropped_with_its_caller(narrow: App, leaves: str) -> None:
    """A write that still waits for a connection when its deadline passes, or its caller leaves, is never done."""
    async with grpc.aio.insecure_channel(narrow.address) as channel:
        gadgets = gadget_pb2_grpc.GadgetServiceStub(channel)
        holding = gadgets.PokeGadget(gadget_pb2.PokeGadgetRequest(how="slow", seconds=3.0))
        await eventually(lambda: narrow.tasks.in_progress == 1)
        await asyncio.sleep(0.2)  # until the statement was sent
        request = gadget_pb2.CreateGadgetRequest(gadget=gadget_pb2.Gadget(label="never", weight=1))
        waiting = gadgets.CreateGadget(request, timeout=1.0 if leaves == "late" else 60)
        await eventually(lambda: narrow.tasks.in_progress == 2)
        if leaves == "cancelled":
            waiting.cancel()
        with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
            await waiting
        await holding
        await eventually(lambda: narrow.tasks.in_progress == 0)
        assert not (await gadgets.ListGadgets(gadget_pb2.ListGadgetsRequest())).gadgets


async def test_a_dropped_write_says_that_it_was_not_applied(narrow: App) -> None:
    """The status of a write that the service dropped has `outcome` = `not_applied`."""
    async with grpc.aio.insecure_channel(narrow.address) as channel:
        gadgets = gadget_pb2_grpc.GadgetServiceStub(channel)
        holding = gadgets.PokeGadget(gadget_pb2.PokeGadgetRequest(how="slow", seconds=3.0))
        await eventually(lambda: narrow.tasks.in_progress == 1)
        request = gadget_pb2.CreateGadgetRequest(gadget=gadget_pb2.Gadget(label="never", weight=1))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            # The service answers a little before the deadline of the caller.
            await gadgets.CreateGadget(request, timeout=2.0)
        await holding
        if caught.value.trailing_metadata():
            told = refusal(caught.value)
            assert told.code is grpc.StatusCode.DEADLINE_EXCEEDED
            assert told.info.metadata["outcome"] == "not_applied"


async def test_passwords_wait_in_a_bounded_queue() -> None:
    """Of more passwords than the queue holds, those beyond it are refused at once, with a time to try again."""
    results = await asyncio.gather(
        *(hash_password("a password") for _ in range(MAX_WAITING + 10)), return_exceptions=True
    )
    refused = [each for each in results if isinstance(each, StatusError)]
    assert len(refused) == 10
    assert {(each.code, each.reason, each.retry_delay) for each in refused} == {
        (grpc.StatusCode.UNAVAILABLE, "PASSWORDS_BUSY", 1.0)
    }
    assert all(str(each).startswith("$argon2id$") for each in results if not isinstance(each, StatusError))
