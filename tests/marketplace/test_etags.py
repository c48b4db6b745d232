"""Etags where a function changes a resource: paid and cancelled orders, paid-in money, and what they touch."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from marketplace.v1 import order_pb2, product_pb2, transfer_pb2, wallet_pb2

from tests.marketplace.client import Market, attempt, refused
from tests.status import Refusal

OLD = '"1"'
Write = Callable[[str], Awaitable[Message]]


def check_stale(answer: object, current: Any) -> None:
    """Check that a call was ABORTED with the current etag."""
    assert isinstance(answer, Refusal), answer
    assert (answer.code, answer.info.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert dict(answer.info.metadata) == {"resource": current.name, "etag": current.etag}
    assert answer.retry_delay is None


async def product_of(market: Market, name: str) -> product_pb2.Product:
    """Read a product."""
    return await market.products.GetProduct(product_pb2.GetProductRequest(name=name))


async def wallet_of(market: Market, name: str) -> wallet_pb2.Wallet:
    """Read a wallet."""
    return await market.wallets.GetWallet(wallet_pb2.GetWalletRequest(name=name))


@pytest.mark.parametrize("method", ["PayOrder", "CancelOrder"])
async def test_an_order_is_changed_by_its_etag(market: Market, method: str) -> None:
    """PayOrder and CancelOrder with a stale etag write nothing; of several with the current one, one is made."""
    wallet, goods = await market.wallet(1000), await market.product(stock=10)
    order = await market.order(wallet, (goods, 2))
    request: Any = getattr(order_pb2, f"{method}Request")

    def call(etag: str) -> Awaitable[order_pb2.Order]:
        made: Awaitable[order_pb2.Order] = getattr(market.orders, method)(request(name=order.name, etag=etag))
        return made

    check_stale(await refused(call(OLD)), order)
    assert await market.found(order.name) == order
    assert (await market.balance(wallet), await market.stock(goods)) == (1000, 8)
    answers = await asyncio.gather(*(attempt(call(order.etag)) for _ in range(6)))
    current = await market.found(order.name)
    assert current in answers
    failed = [answer for answer in answers if answer != current]
    assert len(failed) == 5
    for answer in failed:
        check_stale(answer, current)


async def test_a_wallet_is_paid_into_by_its_etag(market: Market) -> None:
    """Of deposits with one etag exactly one is made: into a wallet that was never used, and into one that was."""
    name = await market.wallet()
    for paid in (1, 2):
        found = await wallet_of(market, name)
        request = wallet_pb2.DepositMoneyRequest(name=name, amount_cents=10, etag=found.etag)
        answers = await asyncio.gather(*(attempt(market.wallets.DepositMoney(request)) for _ in range(6)))
        current = await wallet_of(market, name)
        assert current.balance_cents == 10 * paid
        assert [answer for answer in answers if isinstance(answer, wallet_pb2.Wallet)] == [current]
        for answer in answers:
            if isinstance(answer, Refusal):
                check_stale(answer, current)


async def test_a_stale_deposit_makes_no_wallet(market: Market) -> None:
    """A deposit with a stale etag into a wallet that was never used leaves its user without one, to be deleted."""
    name = await market.wallet()
    found = await wallet_of(market, name)
    request = wallet_pb2.DepositMoneyRequest(name=name, amount_cents=10, etag=OLD)
    check_stale(await refused(market.wallets.DepositMoney(request)), found)
    assert await market.sql("SELECT 1 FROM wallets WHERE user_id = :id", id=int(name.split("/")[1])) == []


async def test_a_deposit_by_an_etag_of_nothing_is_not_found(market: Market) -> None:
    """A deposit with an etag into the wallet of nobody is NOT_FOUND."""
    request = wallet_pb2.DepositMoneyRequest(name="users/987654321/wallet", amount_cents=10, etag=OLD)
    assert (await refused(market.wallets.DepositMoney(request))).code is grpc.StatusCode.NOT_FOUND


async def test_whatever_changes_a_resource_changes_its_etag(market: Market) -> None:
    """Orders change the etags of their products, and payments and transfers those of the wallets."""
    payer, payee = await market.wallet(1000), await market.wallet(1)
    goods = await market.product(price_cents=100, stock=10)
    seen = {name: {(await wallet_of(market, name)).etag} for name in (payer, payee)}
    seen[goods] = {(await product_of(market, goods)).etag}
    order = await market.order(payer, (goods, 1))
    seen[goods].add((await product_of(market, goods)).etag)
    await market.pay(order.name)
    seen[payer].add((await wallet_of(market, payer)).etag)
    await market.cancel(order.name)
    seen[goods].add((await product_of(market, goods)).etag)
    await market.transfer(payer, payee, 5)
    for name in (payer, payee):
        seen[name].add((await wallet_of(market, name)).etag)
    assert {name: len(etags) for name, etags in seen.items()} == {payer: 3, payee: 2, goods: 3}


async def test_a_rehearsal_moves_nothing(market: Market) -> None:
    """With validate_only orders, payments, deposits and transfers answer as without, and all stays as it was."""
    payer, payee = await market.wallet(1000), await market.wallet(1)
    goods = await market.product(price_cents=100, stock=10)
    order = await market.order(payer, (goods, 1))

    async def state() -> list[Any]:
        return [
            await wallet_of(market, payer),
            await wallet_of(market, payee),
            await product_of(market, goods),
            await market.found(order.name),
            await market.sql("SELECT count(*) FROM orders"),
            await market.sql("SELECT count(*) FROM transfers"),
        ]

    before = await state()
    transfer = transfer_pb2.Transfer(source=payer, destination=payee, amount_cents=5)
    calls: list[tuple[Any, Any, dict[str, Any]]] = [
        (market.orders.CreateOrder, order_pb2.CreateOrderRequest, {"order": order}),
        (market.orders.PayOrder, order_pb2.PayOrderRequest, {"name": order.name}),
        (market.orders.CancelOrder, order_pb2.CancelOrderRequest, {"name": order.name, "etag": order.etag}),
        (market.wallets.DepositMoney, wallet_pb2.DepositMoneyRequest, {"name": payer, "amount_cents": 5}),
        (market.wallets.CreateTransfer, transfer_pb2.CreateTransferRequest, {"transfer": transfer}),
    ]
    for call, request, fields in calls:
        await call(request(validate_only=True, **fields))
        assert await state() == before
    too_much = transfer_pb2.Transfer(source=payer, destination=payee, amount_cents=100_000)
    answers = [
        await refused(
            market.wallets.CreateTransfer(transfer_pb2.CreateTransferRequest(transfer=too_much, validate_only=each))
        )
        for each in (True, False)
    ]
    assert answers[0] == answers[1]
    assert answers[0].info.reason == "INSUFFICIENT_FUNDS"
