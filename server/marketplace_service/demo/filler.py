"""The filling of a server: tags and products, then users with what is theirs, then what they do to each other."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import grpc
from marketplace.v1 import (
    address_pb2,
    comment_pb2,
    order_pb2,
    post_pb2,
    product_pb2,
    profile_pb2,
    tag_pb2,
    transfer_pb2,
    user_pb2,
    wallet_pb2,
)
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from marketplace_service.demo.client import Client, explained
from marketplace_service.demo.content import Content
from marketplace_service.demo.options import Options
from marketplace_service.demo.summary import summary

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Member:
    """A user that was made.

    Attributes:
        number: Which one of the demo's.
        name: The user's name on the server.
        posts: The names of the user's posts that were published.
        balance_cents: The least that the user's wallet holds.
    """

    number: int
    name: str
    posts: list[str]
    balance_cents: int


async def fill(options: Options) -> None:
    """Fill a server, show the progress on a terminal, and print what was made, also when it ends early.

    Raises:
        DemoError: The server cannot be reached, or it refused a call.
    """
    errors = Console(stderr=True)
    progress = Progress(
        *Progress.get_default_columns(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        disable=not errors.is_terminal,
    )
    started = time.perf_counter()
    async with grpc.aio.insecure_channel(options.target) as channel:
        client = Client(channel)
        try:
            with progress:
                await Filler(client, Content(options.seed), progress, options.concurrency).fill(options.users)
        except grpc.aio.AioRpcError as error:
            raise explained(error, options.target) from None
        finally:
            if client.calls:
                Console().print(summary(client, time.perf_counter() - started))


class Filler:
    """Makes it all.

    A user's things are made only together with the user, so a second run adds nothing, and refers only to what
    this run made: nobody else's products are sold, and nobody else's posts commented on. Tags alone are shared.

    Args:
        client: The server.
        content: The content to fill it with.
        progress: Where to show how far it is.
        concurrency: How many calls to have under way.
    """

    def __init__(self, client: Client, content: Content, progress: Progress, concurrency: int) -> None:
        self._client = client
        self._content = content
        self._progress = progress
        self._concurrency = concurrency
        self._products: list[str] = []
        self._members: list[Member] = []
        self._names: list[str] = []
        self._posts: list[str] = []

    async def fill(self, users: int) -> None:
        """Make everything for so many users.

        Raises:
            grpc.aio.AioRpcError: The server cannot be reached, or it refused a call.
        """
        await self._each("Tags", self._content.tags(), self._tag)
        products = self._content.products(users // 5 + 20)
        self._products = _there(await self._each("Products", products, self._product))
        self._members = _there(await self._each("Users", range(users), self._person))
        self._names = [member.name for member in self._members]
        self._posts = [post for member in self._members for post in member.posts]
        await self._each("Comments and transfers", self._members, self._company)

    async def _each(
        self, title: str, items: Sequence[Item], work: Callable[[Item], Awaitable[Result]]
    ) -> list[Result]:
        """Do some work for each item, several at a time, and return the results in the order of the items."""
        bar = self._progress.add_task(title, total=len(items))
        results: dict[int, Result] = {}

        async def worker(left: Iterator[tuple[int, Item]]) -> None:
            for index, item in left:
                results[index] = await work(item)
                self._progress.advance(bar)

        left = enumerate(items)
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(self._concurrency, len(items))):
                    workers.create_task(worker(left))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [results[index] for index in range(len(items))]

    async def _tag(self, tag: tag_pb2.Tag) -> None:
        request = tag_pb2.CreateTagRequest(tag=tag, tag_id=tag.name.removeprefix("tags/"))
        await self._client.make(self._client.tags.CreateTag, request, "tags")

    async def _product(self, product: product_pb2.Product) -> str | None:
        request = product_pb2.CreateProductRequest(product=product)
        made = await self._client.make(self._client.products.CreateProduct, request, "products")
        return made.name if made else None

    async def _person(self, number: int) -> Member | None:
        person, client = self._content.person(number, self._products), self._client
        request = user_pb2.CreateUserRequest(user=person.user)
        user = await client.make(client.users.CreateUser, request, "users")
        if user is None:
            return None
        person.profile.name = f"{user.name}/profile"
        await client.call(
            client.users.UpdateProfile, profile_pb2.UpdateProfileRequest(profile=person.profile), "profiles"
        )
        for address in person.addresses:
            new = address_pb2.CreateAddressRequest(parent=user.name, address=address)
            await client.call(client.users.CreateAddress, new, "addresses")
        posts = [await self._post(user.name, post, steps) for post, steps in person.posts]
        paid_in = wallet_pb2.DepositMoneyRequest(name=f"{user.name}/wallet", amount_cents=person.deposit_cents)
        await client.call(client.wallets.DepositMoney, paid_in, "deposits")
        balance = person.deposit_cents
        for order, steps in person.orders:
            balance -= await self._order(user.name, order, steps, balance)
        return Member(number, user.name, _there(posts), balance)

    async def _post(self, author: str, post: post_pb2.Post, steps: Sequence[str]) -> str | None:
        """Make a post, and return its name where it was published."""
        post.author = author
        posts = self._client.posts
        made = await self._client.call(posts.CreatePost, post_pb2.CreatePostRequest(post=post), "posts")
        for step in steps:
            if step == "PublishPost":
                await self._client.call(posts.PublishPost, post_pb2.PublishPostRequest(name=made.name))
            else:
                await self._client.call(posts.ArchivePost, post_pb2.ArchivePostRequest(name=made.name))
        return made.name if steps else None

    async def _order(self, customer: str, order: order_pb2.Order, steps: Sequence[str], balance: int) -> int:
        """Make an order, and return how many cents it took; what cannot be paid waits for its payment."""
        order.customer = customer
        orders = self._client.orders
        made = await self._client.call(orders.CreateOrder, order_pb2.CreateOrderRequest(order=order), "orders")
        if "PayOrder" in steps and made.total_cents > balance:
            return 0
        for step in steps:
            if step == "PayOrder":
                await self._client.call(orders.PayOrder, order_pb2.PayOrderRequest(name=made.name))
            elif step == "ShipOrder":
                await self._client.call(orders.ShipOrder, order_pb2.ShipOrderRequest(name=made.name))
            else:
                await self._client.call(orders.CancelOrder, order_pb2.CancelOrderRequest(name=made.name))
        return made.total_cents if "PayOrder" in steps and "CancelOrder" not in steps else 0

    async def _company(self, member: Member) -> None:
        """Make what a user says to others, and gives to them."""
        client = self._client
        for post, comment in self._content.comments(member.number, self._posts):
            comment.author = member.name
            said = comment_pb2.CreateCommentRequest(parent=post, comment=comment)
            await client.call(client.posts.CreateComment, said, "comments")
        gifts = self._content.transfers(member.number, self._names, member.balance_cents)
        for other, cents in gifts:
            if other == member.name:
                continue
            transfer = transfer_pb2.Transfer(
                source=f"{member.name}/wallet", destination=f"{other}/wallet", amount_cents=cents
            )
            given = transfer_pb2.CreateTransferRequest(transfer=transfer)
            await client.call(client.wallets.CreateTransfer, given, "transfers")


def _there(results: Sequence[Result | None]) -> list[Result]:
    return [result for result in results if result is not None]
