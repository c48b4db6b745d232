"""A marketplace that runs, and the calls that most of its tests begin with."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, TypeVar

import grpc
import pytest
from marketplace.v1 import (
    order_pb2,
    order_pb2_grpc,
    post_pb2_grpc,
    product_pb2,
    product_pb2_grpc,
    transfer_pb2,
    user_pb2,
    user_pb2_grpc,
    wallet_pb2,
    wallet_pb2_grpc,
)
from sqlalchemy import text

from marketplace_service import SERVICE
from tablestakes.app import App, start
from tablestakes.database import open_database
from tests.serving import settings_for
from tests.status import Refusal, refusal

T = TypeVar("T")

MAX_DEPOSIT = 100_000_000_000
_numbers = itertools.count(1)


class Market:
    """A service with the marketplace's resources and nothing else, and a client of it.

    Attributes:
        app: The service.
        channel: The client's connection to it.
    """

    def __init__(self, app: App, channel: grpc.aio.Channel) -> None:
        self.app = app
        self.channel = channel

    @cached_property
    def users(self) -> "user_pb2_grpc.UserServiceAsyncStub":
        """The stub of UserService."""
        return user_pb2_grpc.UserServiceStub(self.channel)

    @cached_property
    def products(self) -> "product_pb2_grpc.ProductServiceAsyncStub":
        """The stub of ProductService."""
        return product_pb2_grpc.ProductServiceStub(self.channel)

    @cached_property
    def orders(self) -> "order_pb2_grpc.OrderServiceAsyncStub":
        """The stub of OrderService."""
        return order_pb2_grpc.OrderServiceStub(self.channel)

    @cached_property
    def wallets(self) -> "wallet_pb2_grpc.WalletServiceAsyncStub":
        """The stub of WalletService."""
        return wallet_pb2_grpc.WalletServiceStub(self.channel)

    @cached_property
    def posts(self) -> "post_pb2_grpc.PostServiceAsyncStub":
        """The stub of PostService."""
        return post_pb2_grpc.PostServiceStub(self.channel)

    async def user(self, **fields: Any) -> user_pb2.User:
        """Create a user that no other test knows."""
        number = next(_numbers)
        valid: dict[str, Any] = {"email": f"user{number}@example.com", "username": f"user_{number}"}
        return await self.users.CreateUser(user_pb2.CreateUserRequest(user=user_pb2.User(**(valid | fields))))

    async def wallet(self, cents: int = 0) -> str:
        """Return the name of a new user's wallet with some money in it; with none it was never used."""
        name = f"{(await self.user()).name}/wallet"
        while cents:
            amount = min(cents, MAX_DEPOSIT)
            await self.deposit(name, amount)
            cents -= amount
        return name

    async def deposit(self, wallet: str, cents: int) -> wallet_pb2.Wallet:
        """Pay into a wallet."""
        return await self.wallets.DepositMoney(wallet_pb2.DepositMoneyRequest(name=wallet, amount_cents=cents))

    async def balance(self, wallet: str) -> int:
        """Return what is in a wallet, in cents."""
        return (await self.wallets.GetWallet(wallet_pb2.GetWalletRequest(name=wallet))).balance_cents

    async def transfer(self, source: str, destination: str, cents: int) -> transfer_pb2.Transfer:
        """Move money from one wallet to another."""
        transfer = transfer_pb2.Transfer(source=source, destination=destination, amount_cents=cents)
        return await self.wallets.CreateTransfer(transfer_pb2.CreateTransferRequest(transfer=transfer))

    async def product(self, *, price_cents: int = 100, stock: int = 10) -> str:
        """Create a product that no other test knows, and return its name."""
        product = product_pb2.Product(
            display_name=f"Product {next(_numbers)}", category="Tests", price_cents=price_cents, stock=stock
        )
        return (await self.products.CreateProduct(product_pb2.CreateProductRequest(product=product))).name

    async def stock(self, product: str) -> int:
        """Return how much of a product is left."""
        return (await self.products.GetProduct(product_pb2.GetProductRequest(name=product))).stock

    async def order(self, customer: str, *items: tuple[str, int]) -> order_pb2.Order:
        """Order quantities of products, for a user or for the user of a wallet."""
        return await self.orders.CreateOrder(
            order_pb2.CreateOrderRequest(
                order=order_pb2.Order(
                    customer=customer.removesuffix("/wallet"),
                    items=[order_pb2.OrderItem(product=product, quantity=quantity) for product, quantity in items],
                )
            )
        )

    async def pay(self, order: str) -> order_pb2.Order:
        """Pay for an order."""
        return await self.orders.PayOrder(order_pb2.PayOrderRequest(name=order))

    async def ship(self, order: str) -> order_pb2.Order:
        """Ship an order."""
        return await self.orders.ShipOrder(order_pb2.ShipOrderRequest(name=order))

    async def cancel(self, order: str) -> order_pb2.Order:
        """Cancel an order."""
        return await self.orders.CancelOrder(order_pb2.CancelOrderRequest(name=order))

    async def found(self, order: str) -> order_pb2.Order:
        """Read an order."""
        return await self.orders.GetOrder(order_pb2.GetOrderRequest(name=order))

    async def sql(self, statement: str, **parameters: object) -> Sequence[Sequence[Any]]:
        """Run a statement on the service's database, past its API, and return the rows that it has."""

        def work(connection: Any) -> Sequence[Sequence[Any]]:
            result = connection.execute(text(statement), parameters)
            rows: Sequence[Sequence[Any]] = result.all() if result.returns_rows else ()
            return rows

        return await self.app.database.run(work)

    def failures(self, error_type: str) -> float:
        """Return how many statements failed with a type of error, by the service's own metrics."""
        return sum(
            sample.value
            for family in self.app.registry.collect()
            for sample in family.samples
            if sample.name == "db_client_operation_duration_seconds_count"
            and sample.labels["error_type"] == error_type
        )


@asynccontextmanager
async def opened(url: str, *, pool_size: int = 16, **given: Any) -> AsyncIterator[Market]:
    """Open a marketplace on an empty database, and close it at the end."""
    # More callers than connections come at once, and all of them are to be served: what these tests ask is
    # whether the answers are right, and UNAVAILABLE is a right answer where the pool does not wait for long.
    # What is tested here is what becomes of many calls at once, and not that some of them are turned away.
    settings = settings_for(url, pool_size=pool_size, pool_timeout=10.0, **{"admission": "off"} | given)
    database = open_database(settings.model_copy(update={"pool_size": 2}))
    await SERVICE.schema.upgrade(database)
    await database.close()
    app = await start(SERVICE, settings)
    try:
        async with grpc.aio.insecure_channel(app.address) as channel:
            yield Market(app, channel)
    finally:
        await app.drain()


async def refused(call: Awaitable[object]) -> Refusal:
    """Return what a call was told that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)


async def attempt(call: Awaitable[T]) -> T | Refusal:
    """Return what a call answered, or what it was told where it was refused."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return refusal(error)


def key(name: str) -> int:
    """Return the id in the name of a user, of a user's wallet, or of another resource."""
    return int(name.split("/")[1])
