"""Incidents that leave a trace in a service's metrics, each made to happen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
from marketplace.v1 import order_pb2, order_pb2_grpc, product_pb2, product_pb2_grpc, user_pb2, user_pb2_grpc
from sqlalchemy import text

from marketplace_service.demo.command import run
from marketplace_service.demo.options import load
from tablestakes.app import App
from tests.gadgets import gadget_pb2, gadget_pb2_grpc
from tests.serving import eventually


async def cause_incidents(app: App, *, seed: int) -> None:
    """Fill a service, and cause slow, failing, repeated and lost statements, and a full pool.

    Args:
        app: A service with the gadgets, on PostgreSQL, with a short `pool_timeout` and a `slow_query` of 50 ms.
        seed: The demo's seed: it makes nothing again that it made with the same seed before.
    """
    await run(load(target=app.address, users=6, seed=seed))
    async with grpc.aio.insecure_channel(app.address) as channel:
        users = user_pb2_grpc.UserServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
            await users.GetUser(user_pb2.GetUserRequest(name="users/0"))
        await _fails_to_order(channel)
        await poke(channel, "slow", seconds=0.06)
        await poke(channel, "repeat")
        with pytest.raises(grpc.aio.AioRpcError, match="INTERNAL"):
            await poke(channel, "sql")
        await _loses_a_connection(app, channel)
        async with full_pool(app):
            with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
                await users.ListUsers(user_pb2.ListUsersRequest())


async def poke(channel: grpc.aio.Channel, how: str, seconds: float = 0.0) -> Any:
    """Ask a service to misbehave, in one of the ways of tests/gadgets.py."""
    request = gadget_pb2.PokeGadgetRequest(how=how, seconds=seconds)
    return await gadget_pb2_grpc.GadgetServiceStub(channel).PokeGadget(request, timeout=10)


@asynccontextmanager
async def full_pool(app: App, *, but: int = 0) -> AsyncIterator[None]:
    """Hold every connection that the pool may have, except for `but` of them."""
    async with AsyncExitStack() as held:
        for _ in range(app.settings.pool_size - but):
            await held.enter_async_context(app.database.engine.connect())
        yield


async def _fails_to_order(channel: grpc.aio.Channel) -> None:
    """Order more than there is, so that a transaction is rolled back."""
    products, orders = product_pb2_grpc.ProductServiceStub(channel), order_pb2_grpc.OrderServiceStub(channel)
    users = user_pb2_grpc.UserServiceStub(channel)
    product = (await products.ListProducts(product_pb2.ListProductsRequest(page_size=1))).products[0]
    user = (await users.ListUsers(user_pb2.ListUsersRequest(page_size=1))).users[0]
    item = order_pb2.OrderItem(product=product.name, quantity=product.stock + 1)
    order = order_pb2.Order(customer=user.name, items=[item])
    with pytest.raises(grpc.aio.AioRpcError, match="FAILED_PRECONDITION"):
        await orders.CreateOrder(order_pb2.CreateOrderRequest(order=order))


async def _loses_a_connection(app: App, channel: grpc.aio.Channel) -> None:
    """Let somebody end the session of a statement that runs."""
    poking = asyncio.ensure_future(poke(channel, "slow", seconds=4.0))
    end = text(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    )
    ended: list[Any] = []

    async def terminate() -> None:
        ended.extend(await app.database.run(lambda connection: connection.execute(end).all()))

    async with asyncio.timeout(60):
        while not ended:
            await terminate()
    with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
        await poking
    await eventually(lambda: not app.tasks.in_progress)
