"""A concurrent load of all kinds of marketplace RPCs, some of which are refused, and a ledger of their outcomes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from marketplace.v1 import (
    address_pb2,
    comment_pb2,
    post_pb2,
    product_pb2,
    profile_pb2,
    tag_pb2,
    tag_pb2_grpc,
    user_pb2,
)

from tests.marketplace.client import Market, attempt, opened


class Ledger(grpc.aio.UnaryUnaryClientInterceptor):
    """Records how calls ended, as their callers saw it.

    Attributes:
        outcomes: The number of calls by the full name of the method and the status code.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, grpc.StatusCode]] = Counter()

    async def intercept_unary_unary(
        self,
        continuation: Callable[..., Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Make the call, and record how it ended."""
        call = await continuation(client_call_details, request)
        method: Any = client_call_details.method  # bytes, although its type says str
        self.outcomes[method.decode(), await call.code()] += 1
        return call


@asynccontextmanager
async def market(url: str) -> AsyncIterator[tuple[Market, Ledger]]:
    """Run a marketplace on an empty database, and yield a client and its ledger."""
    ledger = Ledger()
    async with (
        # With so few connections, callers have to wait for them.
        opened(url, pool_size=6) as running,
        grpc.aio.insecure_channel(running.app.address, interceptors=[ledger]) as channel,
    ):
        yield Market(running.app, channel), ledger


async def visit(market: Market, number: int) -> None:
    """Act as one customer: call standard methods, order and pay, and make mistakes that the database detects.

    Args:
        market: The client.
        number: The number of the customer, unique in the database.
    """
    user = await market.user(full_name=f"Visitor {number}")
    await _account(market, user)
    await _posts(market, user, number)
    await _money(market, user)
    # A user with dependent resources cannot be deleted; one without can.
    await attempt(market.users.DeleteUser(user_pb2.DeleteUserRequest(name=user.name)))
    leaver = await market.user()
    await market.users.DeleteUser(user_pb2.DeleteUserRequest(name=leaver.name))


async def visits(market: Market, customers: range) -> None:
    """Run many customers concurrently, each with its calls one after the other."""
    await asyncio.gather(*(visit(market, number) for number in customers))


async def _account(market: Market, user: user_pb2.User) -> None:
    users = market.users
    again = user_pb2.User(email=user.email, username=f"{user.username}_again")
    await attempt(users.CreateUser(user_pb2.CreateUserRequest(user=again)))
    await attempt(users.GetUser(user_pb2.GetUserRequest(name="users/987654321")))
    await attempt(users.CreateUser(user_pb2.CreateUserRequest(user=user_pb2.User(email="not an address"))))
    changed = user_pb2.User(name=user.name, full_name="Someone Else")
    await users.UpdateUser(user_pb2.UpdateUserRequest(user=changed, update_mask=FieldMask(paths=["full_name"])))
    profile = profile_pb2.Profile(name=f"{user.name}/profile", bio="Short.")
    for _ in range(2):
        await users.UpdateProfile(profile_pb2.UpdateProfileRequest(profile=profile))
    await users.GetProfile(profile_pb2.GetProfileRequest(name=profile.name))
    address = address_pb2.Address(label="Home", lines="1 Street", city="Town", region_code="CH")
    await attempt(users.CreateAddress(address_pb2.CreateAddressRequest(parent=user.name, address=address)))
    await attempt(users.CreateAddress(address_pb2.CreateAddressRequest(parent="users/987654321", address=address)))
    await users.ListAddresses(address_pb2.ListAddressesRequest(parent=user.name))
    page = await users.ListUsers(user_pb2.ListUsersRequest(page_size=2))
    await users.ListUsers(user_pb2.ListUsersRequest(page_size=2, page_token=page.next_page_token))


async def _posts(market: Market, user: user_pb2.User, number: int) -> None:
    tags = tag_pb2_grpc.TagServiceStub(market.channel)
    names = []
    for word in ("red", "blue"):
        request = tag_pb2.CreateTagRequest(tag=tag_pb2.Tag(display_name=word), tag_id=f"{word}-{number}")
        names.append((await tags.CreateTag(request)).name)
        await attempt(tags.CreateTag(request))
    post = post_pb2.Post(author=user.name, title="A title", content="Words.", tags=names)
    made = await market.posts.CreatePost(post_pb2.CreatePostRequest(post=post))
    for wrong in ({"author": "users/987654321"}, {"tags": ["tags/nowhere"]}):
        refused = post_pb2.Post(author=user.name, title="A title", content="Words.")
        refused.MergeFrom(post_pb2.Post(**wrong))
        await attempt(market.posts.CreatePost(post_pb2.CreatePostRequest(post=refused)))
    fewer = post_pb2.Post(name=made.name, tags=names[:1])
    await market.posts.UpdatePost(post_pb2.UpdatePostRequest(post=fewer, update_mask=FieldMask(paths=["tags"])))
    for _ in range(2):
        await attempt(market.posts.PublishPost(post_pb2.PublishPostRequest(name=made.name)))
    comment = comment_pb2.Comment(author=user.name, body="I see.")
    for parent in (made.name, "posts/987654321"):
        await attempt(market.posts.CreateComment(comment_pb2.CreateCommentRequest(parent=parent, comment=comment)))
    await market.posts.ListComments(comment_pb2.ListCommentsRequest(parent=made.name))
    await market.posts.GetPost(post_pb2.GetPostRequest(name=made.name))
    await market.posts.ListPosts(post_pb2.ListPostsRequest(page_size=3))
    for force in (False, True):
        await attempt(market.posts.DeletePost(post_pb2.DeletePostRequest(name=made.name, force=force)))


async def _money(market: Market, user: user_pb2.User) -> None:
    mine, theirs = f"{user.name}/wallet", await market.wallet()
    await attempt(market.transfer(mine, theirs, 5))
    await market.deposit(mine, 10_000)
    # Concurrent transfers in opposite directions wait for each other's locks.
    await market.transfer(mine, theirs, 50)
    await asyncio.gather(market.transfer(mine, theirs, 5), market.transfer(theirs, mine, 5))
    await attempt(market.transfer(mine, "users/987654321/wallet", 5))
    product = await market.product(stock=3)
    order = (await market.order(user.name, (product, 2))).name
    await attempt(market.order(user.name, (product, 2)))
    await market.pay(order)
    await attempt(market.pay(order))
    await market.cancel(order)
    await attempt(market.ship(order))
    await market.found(order)
    # An order keeps its products.
    await attempt(market.products.DeleteProduct(product_pb2.DeleteProductRequest(name=product)))
