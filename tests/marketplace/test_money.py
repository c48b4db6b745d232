"""Under many callers at once no cent and no item is made or lost, and nobody is told of their collisions.

For how many seconds they call is the environment variable MONEY_SECONDS; 3 without it.
"""

import asyncio
import logging
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import pytest
import structlog
from google.protobuf.message import Message
from marketplace.v1 import order_pb2, product_pb2, transfer_pb2

from tests.marketplace.client import Market, attempt, key
from tests.status import Refusal

SECONDS = float(os.environ.get("MONEY_SECONDS", "3"))
# What the embedded database has to do with it is one connection: a short run shows as much as a long one.
SQLITE_SECONDS = min(SECONDS, 1.0)
# What a slow machine gets on top.
SLOW_SECONDS = 20.0

CALLERS = 32
WALLETS = 10
PRODUCTS = 10
FIRST_DEPOSIT = 200_000

# What there is at first of each product: of some always too little, of others enough for as long as they are asked.
STOCK = [20 + round(2 * number * SECONDS) for number in range(PRODUCTS)]

# What a caller may be told, by method. ABORTED is not among it: who collides is tried again inside.
ALLOWED = {
    "CreateTransfer": {"INSUFFICIENT_FUNDS"},
    "CreateOrder": {"OUT_OF_STOCK"},
    "PayOrder": {"INSUFFICIENT_FUNDS", "STATE_NOT_ALLOWED"},
    "ShipOrder": {"STATE_NOT_ALLOWED"},
    "CancelOrder": {"STATE_NOT_ALLOWED"},
}

# How often each is called, of all calls.
MIX = {
    "CreateTransfer": 30,
    "DepositMoney": 8,
    "CreateOrder": 24,
    "PayOrder": 18,
    "CancelOrder": 12,
    "ShipOrder": 8,
}

# Items of orders that hold stock, beside what is left: together always what there was at first.
STOCK_HELD = """
SELECT products.id, products.stock, products.stock + coalesce(sum(held.quantity), 0)
FROM products LEFT JOIN (
  SELECT order_items.product_id, order_items.quantity
  FROM order_items JOIN orders ON orders.id = order_items.order_id WHERE orders.state <> 'CANCELLED'
) AS held ON held.product_id = products.id
GROUP BY products.id, products.stock
"""

# Money in wallets, the least of them, and money in orders that are paid.
MONEY_HELD = """
SELECT (SELECT coalesce(sum(balance_cents), 0) FROM wallets),
       (SELECT coalesce(min(balance_cents), 0) FROM wallets),
       (SELECT coalesce(sum(total_cents), 0) FROM orders WHERE state IN ('PAID', 'SHIPPED'))
"""


@dataclass
class Ledger:
    """What the callers were told, from which follows what there must be.

    Attributes:
        wallets: The wallets' names.
        prices: The products' prices in cents, by name.
        stock: What there was of them at first.
        deposited: What came into each wallet from outside, in cents.
        transfers: The transfers that were answered.
        orders: The orders that were answered, as they were at first.
        done: How often each method succeeded on each order.
        calls: How many calls there were, by method and outcome.
        looks: How often the database was looked at in between.
        wrong: What was answered, or seen there, that never may be.
    """

    wallets: list[str]
    prices: dict[str, int]
    stock: dict[str, int]
    deposited: Counter[str] = field(default_factory=Counter)
    transfers: list[transfer_pb2.Transfer] = field(default_factory=list)
    orders: dict[str, order_pb2.Order] = field(default_factory=dict)
    done: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    looks: int = 0
    wrong: list[str] = field(default_factory=list)

    def succeeded(self) -> set[str]:
        """Return the methods that have succeeded at least once."""
        return {method for method, outcome in self.calls if outcome == "OK"}

    def count(self, method: str, answer: Message | Refusal) -> bool:
        """Count a call's outcome, and return whether it succeeded."""
        if not isinstance(answer, Refusal):
            self.calls[method, "OK"] += 1
            return True
        self.calls[method, f"{answer.code.name} {answer.info.reason}"] += 1
        refused = answer.code is grpc.StatusCode.FAILED_PRECONDITION
        if not (refused and answer.info.reason in ALLOWED.get(method, ())):
            self.wrong.append(f"{method}: {answer.code.name} {answer.info.reason}: {answer.message}")
        return False


class Caller:
    """One of many who call at the same time, and do in each run what their number says.

    Args:
        market: What is called.
        ledger: What all of them were told.
        number: Which of them this is.
    """

    def __init__(self, market: Market, ledger: Ledger, number: int) -> None:
        self.market = market
        self.ledger = ledger
        self.random = random.Random(number)
        self.steps: dict[str, Callable[[], Awaitable[None]]] = {
            "CreateTransfer": self.transfer,
            "DepositMoney": self.deposit,
            "CreateOrder": self.order,
            "PayOrder": lambda: self.move("PayOrder", self.market.pay),
            "ShipOrder": lambda: self.move("ShipOrder", self.market.ship),
            "CancelOrder": lambda: self.move("CancelOrder", self.market.cancel),
        }

    async def call(self, mix: dict[str, int], until: float) -> None:
        """Call methods, in a mix of them, until a moment of the monotonic clock."""
        while time.monotonic() < until:
            (method,) = self.random.choices(list(mix), list(mix.values()))
            await self.steps[method]()

    async def transfer(self) -> None:
        """Move money between two wallets."""
        source, destination = self.random.sample(self.ledger.wallets, 2)
        cents = self.random.randint(1, FIRST_DEPOSIT // 4)
        answer = await attempt(self.market.transfer(source, destination, cents))
        if self.ledger.count("CreateTransfer", answer) and isinstance(answer, transfer_pb2.Transfer):
            self.ledger.transfers.append(answer)

    async def deposit(self) -> None:
        """Pay into a wallet."""
        wallet, cents = self.random.choice(self.ledger.wallets), self.random.randint(1, 5_000)
        if self.ledger.count("DepositMoney", await attempt(self.market.deposit(wallet, cents))):
            self.ledger.deposited[wallet] += cents

    async def order(self) -> None:
        """Order one to four items, the same product perhaps twice."""
        products = self.random.choices(list(self.ledger.prices), k=self.random.randint(1, 4))
        items = [(product, self.random.randint(1, 5)) for product in products]
        answer = await attempt(self.market.order(self.random.choice(self.ledger.wallets), *items))
        if self.ledger.count("CreateOrder", answer) and isinstance(answer, order_pb2.Order):
            self.ledger.orders[answer.name] = answer

    async def move(self, method: str, call: Callable[[str], Awaitable[order_pb2.Order]]) -> None:
        """Pay, ship or cancel an order: mostly one of the last, which others are after too."""
        names = list(self.ledger.orders)
        if not names:
            return
        name = self.random.choice(names[-CALLERS:] if self.random.random() < 0.8 else names)
        if self.ledger.count(method, await attempt(call(name))):
            self.ledger.done[name][method] += 1


@pytest.fixture
def quiet() -> Iterator[None]:
    """Log no line for each call: beside them nobody would find the counts."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("quiet")
async def test_money_and_stock_under_32_callers(own_market: Market) -> None:
    """After a mix of calls by 32 callers at once, every balance, stock, order and price is what it must be."""
    market = own_market
    sqlite = market.app.database.engine.dialect.name == "sqlite"
    seconds = SQLITE_SECONDS if sqlite else SECONDS
    ledger = await _open_books(market)
    callers = [Caller(market, ledger, number) for number in range(CALLERS)]

    # First transfers alone: at each moment, and not only at the end, all the money must be there.
    async with _watching(market, ledger, money=True):
        await _call(callers, {"CreateTransfer": 1}, seconds / 3)
    assert await _in_wallets(market, ledger) == FIRST_DEPOSIT * WALLETS // 2
    # Then everything: at each moment all the stock must be there.
    async with _watching(market, ledger, money=False):
        await _call(callers, MIX, seconds)

    orders = await _list_orders(market)
    balances = {wallet: await market.balance(wallet) for wallet in ledger.wallets}
    _report(market, ledger, orders, balances)
    assert not ledger.wrong, "a caller was told what no caller may be told"
    assert ledger.succeeded() == set(MIX)
    _check_orders(ledger, orders)
    await _check_transfers(market, ledger)
    await _check_stock(market, ledger, orders)
    _check_balances(ledger, orders, balances)
    (held,) = await market.sql(MONEY_HELD)
    assert int(held[0]) + int(held[2]) == sum(ledger.deposited.values())
    held_stock = {f"products/{product}": int(all_of_it) for product, _, all_of_it in await market.sql(STOCK_HELD)}
    assert held_stock == ledger.stock


async def _open_books(market: Market) -> Ledger:
    """Make the wallets, of which every second one was never used, and the products."""
    wallets = [await market.wallet(0 if number % 2 else FIRST_DEPOSIT) for number in range(WALLETS)]
    prices, stock = {}, {}
    for number in range(PRODUCTS):
        cents = 100 * number + 99
        name = await market.product(price_cents=cents, stock=STOCK[number])
        prices[name], stock[name] = cents, STOCK[number]
    return Ledger(wallets, prices, stock, Counter(dict.fromkeys(wallets[::2], FIRST_DEPOSIT)))


async def _call(callers: list[Caller], mix: dict[str, int], seconds: float) -> None:
    """Let all call at once, for so long, and on a slow machine until each method has had its way at least once."""
    ledger, now = callers[0].ledger, time.monotonic()
    await asyncio.gather(*(caller.call(mix, now + seconds) for caller in callers))
    while not ledger.succeeded() >= set(mix) and time.monotonic() < now + seconds + SLOW_SECONDS:
        await asyncio.gather(*(caller.call(mix, time.monotonic() + 0.2) for caller in callers))


@asynccontextmanager
async def _watching(market: Market, ledger: Ledger, *, money: bool) -> AsyncIterator[None]:
    """Look at the database again and again, in one statement each time, while callers change it."""
    over = asyncio.Event()

    async def watch() -> None:
        while not over.is_set():
            if money:
                (held,) = await market.sql(MONEY_HELD)
                if int(held[0]) != sum(ledger.deposited.values()) or held[1] < 0:
                    ledger.wrong.append(f"wallets held {held[0]} cents together, the least of them {held[1]}")
            for product, left, all_of_it in await market.sql(STOCK_HELD):
                if left < 0 or all_of_it != ledger.stock[f"products/{product}"]:
                    ledger.wrong.append(f"products/{product} had {left} left, {all_of_it} with what orders hold")
            ledger.looks += 1
            await asyncio.sleep(0.05)

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        over.set()
        await watcher


async def _list_orders(market: Market) -> dict[str, order_pb2.Order]:
    found: dict[str, order_pb2.Order] = {}
    token = ""
    while True:
        page = await market.orders.ListOrders(order_pb2.ListOrdersRequest(page_size=100, page_token=token))
        found |= {order.name: order for order in page.orders}
        if not (token := page.next_page_token):
            return found


async def _in_wallets(market: Market, ledger: Ledger) -> int:
    return sum([await market.balance(wallet) for wallet in ledger.wallets])


def _state(order: order_pb2.Order) -> str:
    return order_pb2.Order.State.Name(order.state)


def _check_orders(ledger: Ledger, orders: dict[str, order_pb2.Order]) -> None:
    """Every order that was answered is there, and no other, as the calls on it left it."""
    assert orders.keys() == ledger.orders.keys()
    for name, order in orders.items():
        done, first = ledger.done[name], ledger.orders[name]
        assert all(times == 1 for times in done.values()), f"{name}: {done}"
        if done["CancelOrder"]:
            assert (_state(order), done["ShipOrder"]) == ("CANCELLED", 0)
        elif done["ShipOrder"]:
            assert (_state(order), done["PayOrder"]) == ("SHIPPED", 1)
        else:
            assert _state(order) == ("PAID" if done["PayOrder"] else "PENDING")
        assert (order.items, order.customer) == (first.items, first.customer)
        assert order.total_cents == sum(item.quantity * item.unit_price_cents for item in order.items)
        assert all(item.unit_price_cents == ledger.prices[item.product] for item in order.items)


async def _check_transfers(market: Market, ledger: Ledger) -> None:
    """Every transfer that was answered is on record, and no other."""
    found: list[transfer_pb2.Transfer] = []
    token = ""
    while True:
        request = transfer_pb2.ListTransfersRequest(page_size=100, page_token=token)
        page = await market.wallets.ListTransfers(request)
        found += page.transfers
        if not (token := page.next_page_token):
            break
    assert found == sorted(ledger.transfers, key=lambda transfer: key(transfer.name))


async def _check_stock(market: Market, ledger: Ledger, orders: dict[str, order_pb2.Order]) -> None:
    """What is left of each product is what there was, without what orders hold that are not cancelled."""
    taken: Counter[str] = Counter()
    for order in orders.values():
        if _state(order) != "CANCELLED":
            for item in order.items:
                taken[item.product] += item.quantity
    products = (await market.products.ListProducts(product_pb2.ListProductsRequest())).products
    assert {product.name: product.stock for product in products} == {
        name: stock - taken[name] for name, stock in ledger.stock.items()
    }
    assert all(product.stock >= 0 for product in products)


def _check_balances(ledger: Ledger, orders: dict[str, order_pb2.Order], balances: dict[str, int]) -> None:
    """Each wallet holds what came into it without what went out, and so do all of them together."""
    expected = Counter(ledger.deposited)
    for transfer in ledger.transfers:
        expected[transfer.source] -= transfer.amount_cents
        expected[transfer.destination] += transfer.amount_cents
    for name, order in orders.items():
        done, wallet = ledger.done[name], f"{order.customer}/wallet"
        expected[wallet] -= order.total_cents * done["PayOrder"]
        expected[wallet] += order.total_cents * done["PayOrder"] * done["CancelOrder"]
    assert balances == {wallet: expected[wallet] for wallet in ledger.wallets}
    assert all(cents >= 0 for cents in balances.values())
    paid = sum(order.total_cents for order in orders.values() if _state(order) in ("PAID", "SHIPPED"))
    assert sum(balances.values()) + paid == sum(ledger.deposited.values())


def _report(market: Market, ledger: Ledger, orders: dict[str, order_pb2.Order], balances: dict[str, int]) -> None:
    """Print what was called and what came of it."""
    lines = [f"{CALLERS} callers, {WALLETS} wallets, {PRODUCTS} products: {ledger.calls.total()} calls"]
    lines += [f"  {method:15} {outcome:40} {count:7}" for (method, outcome), count in sorted(ledger.calls.items())]
    states = Counter(_state(order) for order in orders.values())
    lines.append(f"orders: {', '.join(f'{count} {state}' for state, count in sorted(states.items()))}")
    paid = sum(order.total_cents for order in orders.values() if _state(order) in ("PAID", "SHIPPED"))
    lines.append(
        f"cents: {sum(ledger.deposited.values())} deposited = {sum(balances.values())} in wallets + {paid} paid"
    )
    lines.append(
        f"inside: {market.failures('40P01'):.0f} deadlocks and {market.failures('55P03'):.0f} lock timeouts,"
        f" {ledger.looks} looks at the database, {len(ledger.wrong)} of them or of the answers wrong"
    )
    print("\n".join(lines))  # noqa: T201 - who asks for it with -rP is to see it
