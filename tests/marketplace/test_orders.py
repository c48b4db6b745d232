"""Orders: what they cost is decided when they are made, and stock and money move exactly once."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from marketplace.v1 import order_pb2, product_pb2, user_pb2

from marketplace_service.api.wallet import MAX_BALANCE
from tests.marketplace.client import Market, attempt, key, refused
from tests.status import Refusal

State = order_pb2.Order.State
STATES = ("PENDING", "PAID", "SHIPPED", "CANCELLED")
TARGETS = {"PayOrder": "PAID", "ShipOrder": "SHIPPED", "CancelOrder": "CANCELLED"}
ALLOWED = {
    ("PENDING", "PayOrder"),
    ("PENDING", "CancelOrder"),
    ("PAID", "ShipOrder"),
    ("PAID", "CancelOrder"),
}

MAX_QUANTITY = 1_000_000
MAX_PRICE = 100_000_000
MAX_ITEMS = 100


async def test_the_states_are_the_contracts() -> None:
    """The tables above name every state of the proto, and every method that changes it."""
    assert {*STATES, "STATE_UNSPECIFIED"} == set(State.keys())
    (service,) = order_pb2.DESCRIPTOR.services_by_name.values()
    changing = {method.name for method in service.methods if "name" in method.input_type.fields_by_name}
    assert changing - {"GetOrder"} == set(TARGETS)


async def test_an_order_is_priced_and_takes_its_stock(market: Market) -> None:
    """An order is PENDING, costs what its items cost together, and what it holds is no longer in stock."""
    wallet = await market.wallet()
    cheap = await market.product(price_cents=7, stock=10)
    dear = await market.product(price_cents=1999, stock=3)
    order = await market.order(wallet, (dear, 3), (cheap, 4))
    assert order.customer == wallet.removesuffix("/wallet")
    assert [(item.product, item.quantity, item.unit_price_cents) for item in order.items] == [
        (dear, 3, 1999),
        (cheap, 4, 7),
    ]
    assert (order.total_cents, order.state) == (3 * 1999 + 4 * 7, State.PENDING)
    assert (await market.stock(dear), await market.stock(cheap)) == (0, 6)
    assert await market.found(order.name) == order
    assert await market.balance(wallet) == 0


async def test_a_later_price_does_not_change_an_order(market: Market) -> None:
    """An order keeps the prices of the moment at which it was made, when it is read, paid and paid back."""
    wallet, product = await market.wallet(1000), await market.product(price_cents=100)
    order = await market.order(wallet, (product, 2))
    await market.products.UpdateProduct(
        product_pb2.UpdateProductRequest(
            product=product_pb2.Product(name=product, price_cents=450), update_mask=FieldMask(paths=["price_cents"])
        )
    )
    assert await market.found(order.name) == order
    assert (await market.order(wallet, (product, 1))).total_cents == 450
    paid = await market.pay(order.name)
    assert (paid.items, paid.total_cents) == (order.items, 200)
    assert await market.balance(wallet) == 800
    await market.cancel(order.name)
    assert await market.balance(wallet) == 1000


async def test_an_order_is_listed_as_it_is_read(market: Market) -> None:
    """List answers with every item of every order on its page."""
    wallet, product = await market.wallet(), await market.product()
    made = [await market.order(wallet, (product, 1), (product, count)) for count in (1, 2)]
    found: list[order_pb2.Order] = []
    request = order_pb2.ListOrdersRequest(page_size=1000)
    while True:
        page = await market.orders.ListOrders(request)
        found += page.orders
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert found[-2:] == made


async def test_the_same_product_twice_is_summed(market: Market) -> None:
    """Items of one product are kept apart in the order and taken from the stock together."""
    wallet, product = await market.wallet(), await market.product(price_cents=5, stock=10)
    order = await market.order(wallet, (product, 4), (product, 5))
    assert [item.quantity for item in order.items] == [4, 5]
    assert order.total_cents == 45
    assert await market.stock(product) == 1
    await market.cancel(order.name)
    assert await market.stock(product) == 10


async def test_the_same_product_twice_is_out_of_stock_together(market: Market) -> None:
    """Items of one product that there is enough of for each, but not for both, are OUT_OF_STOCK, both of them."""
    wallet, product = await market.wallet(), await market.product(stock=10)
    told = await refused(market.order(wallet, (product, 6), (product, 5)))
    assert told.code is grpc.StatusCode.FAILED_PRECONDITION
    assert told.reasons == {f"order.items[{index}].quantity": "OUT_OF_STOCK" for index in (0, 1)}
    assert await market.stock(product) == 10


async def test_out_of_stock_takes_nothing(market: Market) -> None:
    """One item too many is OUT_OF_STOCK by its quantity, names the product, and no other item is taken."""
    wallet = await market.wallet()
    plenty, scarce = await market.product(stock=100), await market.product(stock=2)
    told = await refused(market.order(wallet, (plenty, 5), (scarce, 3), (plenty, 1)))
    assert (told.code, told.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "OUT_OF_STOCK")
    assert told.info.metadata == {"resource": scarce, "stock": "2"}
    assert scarce in told.message
    assert list(told.fields) == ["order.items[1].quantity"]
    assert (await market.stock(plenty), await market.stock(scarce)) == (100, 2)
    assert await _orders_of(market, wallet) == []


async def test_every_item_out_of_stock_is_named(market: Market) -> None:
    """Several items that there is too little of are named at once."""
    wallet = await market.wallet()
    products = [await market.product(stock=stock) for stock in (0, 5, 1)]
    told = await refused(market.order(wallet, *((product, 2) for product in products)))
    assert told.fields.keys() == {"order.items[0].quantity", "order.items[2].quantity"}
    assert [await market.stock(product) for product in products] == [0, 5, 1]


@pytest.mark.parametrize("name", ["products/987654321", "products/nothing", f"products/{1 << 70}"])
async def test_an_unknown_product_is_named(market: Market, name: str) -> None:
    """An item of a product that does not exist is INVALID_ARGUMENT by its field, and no other item is taken."""
    wallet, product = await market.wallet(), await market.product()
    told = await refused(market.order(wallet, (product, 1), (name, 1)))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.reasons == {"order.items[1].product": "REFERENCE_NOT_FOUND"}
    assert await market.stock(product) == 10


@pytest.mark.parametrize("name", ["users/987654321", "users/nobody", f"users/{1 << 70}"])
async def test_an_unknown_customer_is_named(market: Market, name: str) -> None:
    """A customer who does not exist is INVALID_ARGUMENT by its field, and nothing is taken."""
    product = await market.product()
    told = await refused(market.order(name, (product, 1)))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.reasons == {"order.customer": "REFERENCE_NOT_FOUND"}
    assert await market.stock(product) == 10


async def test_a_name_of_another_kind_is_named(market: Market) -> None:
    """A customer that is a product, and a product that is a user, are INVALID_ARGUMENT by their fields."""
    customer, product = (await market.user()).name, await market.product()
    told = await refused(market.order(product, (product, 1)))
    assert told.reasons == {"order.customer": "INVALID_RESOURCE_NAME"}
    told = await refused(market.order(customer, (product, 1), (customer, 1)))
    assert told.reasons == {"order.items[1].product": "INVALID_RESOURCE_NAME"}
    assert await market.stock(product) == 10


@pytest.mark.parametrize("quantity", [0, -1, -(1 << 31), MAX_QUANTITY + 1, (1 << 31) - 1])
async def test_a_quantity_that_is_none_is_named(market: Market, quantity: int) -> None:
    """A quantity of none, of less and of too much is INVALID_ARGUMENT by its field, and nothing is taken."""
    wallet, product = await market.wallet(), await market.product()
    told = await refused(market.order(wallet, (product, 1), (product, quantity)))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(told.fields) == ["order.items[1].quantity"]
    assert await market.stock(product) == 10


async def test_the_number_of_items_has_its_limits(market: Market) -> None:
    """An order of no item and one of 101 are INVALID_ARGUMENT on the items; one of 100 is made."""
    wallet, product = await market.wallet(), await market.product(stock=MAX_ITEMS + 1)
    for items in ([], [(product, 1)] * (MAX_ITEMS + 1)):
        told = await refused(market.order(wallet, *items))
        assert told.code is grpc.StatusCode.INVALID_ARGUMENT
        assert list(told.fields) == ["order.items"]
    assert len((await market.order(wallet, *[(product, 1)] * MAX_ITEMS)).items) == MAX_ITEMS
    assert await market.stock(product) == 1


async def test_the_largest_order_is_exact(market: Market) -> None:
    """A hundred items, each a million times the dearest product, come to their total to the cent, and go back."""
    wallet = await market.wallet(1)
    stock = MAX_ITEMS * MAX_QUANTITY + 1
    product = await market.product(price_cents=MAX_PRICE, stock=stock)
    order = await market.order(wallet, *[(product, MAX_QUANTITY)] * MAX_ITEMS)
    assert order.total_cents == MAX_ITEMS * MAX_QUANTITY * MAX_PRICE == 10**16
    assert await market.found(order.name) == order
    assert await market.stock(product) == 1
    assert (await refused(market.pay(order.name))).info.reason == "INSUFFICIENT_FUNDS"
    await _fill(market, wallet, MAX_BALANCE)
    await market.pay(order.name)
    assert await market.balance(wallet) == 0
    await market.cancel(order.name)
    assert (await market.balance(wallet), await market.stock(product)) == (MAX_BALANCE, stock)


async def test_what_a_client_says_of_prices_and_state_is_not_believed(market: Market) -> None:
    """The prices, the total, the state, the times and the name that a client sends are ignored."""
    wallet, product = await market.wallet(), await market.product(price_cents=100)
    sent = order_pb2.Order(
        name="orders/7777777",
        customer=wallet.removesuffix("/wallet"),
        items=[order_pb2.OrderItem(product=product, quantity=2, unit_price_cents=-1)],
        total_cents=-2,
        state=State.PAID,
        create_time=Timestamp(seconds=1),
        update_time=Timestamp(seconds=1),
    )
    order = await market.orders.CreateOrder(order_pb2.CreateOrderRequest(order=sent))
    assert order.name != sent.name
    assert [item.unit_price_cents for item in order.items] == [100]
    assert (order.total_cents, order.state) == (200, State.PENDING)
    assert order.create_time == order.update_time
    assert order.create_time.seconds > 1_000_000_000
    assert await market.found(order.name) == order


@pytest.mark.parametrize("cents", [0, 199])
async def test_an_order_is_not_paid_without_funds(market: Market, cents: int) -> None:
    """A wallet with less than the total is INSUFFICIENT_FUNDS: the order stays PENDING, the money where it is."""
    wallet, product = await market.wallet(cents), await market.product(price_cents=100)
    order = await market.order(wallet, (product, 2))
    told = await refused(market.pay(order.name))
    assert (told.code, told.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS")
    assert told.info.metadata == {"resource": wallet, "needed": "200"}
    assert await market.found(order.name) == order
    assert await market.balance(wallet) == cents
    await market.deposit(wallet, 200 - cents)
    assert (await market.pay(order.name)).state == State.PAID
    assert await market.balance(wallet) == 0


async def test_an_order_is_paid_once(market: Market) -> None:
    """A second payment is refused and takes nothing."""
    wallet, product = await market.wallet(500), await market.product(price_cents=100)
    order = await market.order(wallet, (product, 1))
    paid = await market.pay(order.name)
    assert paid.update_time.ToNanoseconds() > order.update_time.ToNanoseconds()
    assert (await refused(market.pay(order.name))).info.reason == "STATE_NOT_ALLOWED"
    assert await market.balance(wallet) == 400
    assert await market.found(order.name) == paid


@pytest.mark.parametrize("method", TARGETS)
@pytest.mark.parametrize("state", STATES)
async def test_each_method_in_each_state(market: Market, state: str, method: str) -> None:
    """A method in a state that it may not leave names both states, and moves nothing; in another it succeeds."""
    wallet, product = await market.wallet(1000), await market.product(price_cents=100, stock=10)
    before = await _in_state(market, state, wallet, product)
    money, stock = await market.balance(wallet), await market.stock(product)
    call = {"PayOrder": market.pay, "ShipOrder": market.ship, "CancelOrder": market.cancel}[method]
    if (state, method) in ALLOWED:
        after = await call(before.name)
        assert after.state == State.Value(TARGETS[method])
        assert after.update_time.ToNanoseconds() > before.update_time.ToNanoseconds()
        assert (after.items, after.total_cents) == (before.items, before.total_cents)
        assert await market.found(before.name) == after
        return
    told = await refused(call(before.name))
    assert (told.code, told.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STATE_NOT_ALLOWED")
    assert told.info.metadata == {"resource": before.name, "state": state, "target": TARGETS[method]}
    assert told.message == f"{before.name} is {state} and cannot become {TARGETS[method]}."
    assert await market.found(before.name) == before
    assert (await market.balance(wallet), await market.stock(product)) == (money, stock)


@pytest.mark.parametrize("method", TARGETS)
async def test_no_order_has_no_state(market: Market, method: str) -> None:
    """A change of state of an order that does not exist is NOT_FOUND, and by a name of another kind a bad name."""
    call = {"PayOrder": market.pay, "ShipOrder": market.ship, "CancelOrder": market.cancel}[method]
    told = await refused(call("orders/987654321"))
    assert (told.code, told.info.metadata["resource"]) == (grpc.StatusCode.NOT_FOUND, "orders/987654321")
    assert (await refused(call("users/1"))).reasons == {"name": "INVALID_RESOURCE_NAME"}


@pytest.mark.parametrize(("state", "money"), [("PENDING", 1000), ("PAID", 1000)])
async def test_a_cancelled_order_gives_back_what_it_took(market: Market, state: str, money: int) -> None:
    """Of a PENDING order the stock comes back and no money, of a PAID one both, to what there was before."""
    wallet = await market.wallet(1000)
    one, other = await market.product(price_cents=100, stock=10), await market.product(price_cents=1, stock=1)
    order = await market.order(wallet, (one, 2), (other, 1), (one, 3))
    if state == "PAID":
        await market.pay(order.name)
        assert await market.balance(wallet) == 1000 - 501
    cancelled = await market.cancel(order.name)
    assert cancelled.state == State.CANCELLED
    assert cancelled.items == order.items, "what was ordered stays on record"
    assert await market.balance(wallet) == money
    assert (await market.stock(one), await market.stock(other)) == (10, 1)


async def test_a_cancelled_order_makes_no_wallet(market: Market) -> None:
    """The cancelling of an order that was not paid does not touch a wallet that was never used."""
    wallet, product = await market.wallet(), await market.product()
    await market.cancel((await market.order(wallet, (product, 1))).name)
    assert await market.sql("SELECT 1 FROM wallets WHERE user_id = :id", id=key(wallet)) == []


async def test_a_refund_past_the_limit_changes_nothing(market: Market) -> None:
    """An order whose money the wallet cannot take back stays PAID, and its stock stays taken."""
    wallet, product = await market.wallet(100), await market.product(price_cents=100)
    order = await market.order(wallet, (product, 1))
    paid = await market.pay(order.name)
    await _fill(market, wallet, MAX_BALANCE - 99)
    told = await refused(market.cancel(order.name))
    assert (told.code, told.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BALANCE_LIMIT")
    assert await market.found(order.name) == paid
    assert (await market.balance(wallet), await market.stock(product)) == (MAX_BALANCE - 99, 9)


async def test_the_last_items_go_to_as_many_as_there_are(market: Market) -> None:
    """Of twenty orders at once for the last five items exactly five are made."""
    product = await market.product(stock=5)
    wallets = [await market.wallet() for _ in range(20)]
    answers = await asyncio.gather(*(attempt(market.order(wallet, (product, 1))) for wallet in wallets))
    told = [answer for answer in answers if isinstance(answer, Refusal)]
    assert [(answer.info.reason, answer.info.metadata["stock"]) for answer in told] == [("OUT_OF_STOCK", "0")] * 15
    assert await market.stock(product) == 0


async def test_orders_of_the_same_products_in_opposite_order_never_deadlock(market: Market) -> None:
    """Orders and cancellations at once, half of them with their items the other way round, all succeed."""
    wallet, one, other = await market.wallet(), await market.product(stock=80), await market.product(stock=160)
    before = market.failures("40P01")
    ways: list[tuple[tuple[str, int], ...]] = [((one, 1), (other, 2)), ((other, 2), (one, 1))]
    first = await asyncio.gather(*(market.order(wallet, *way) for way in ways * 20))
    assert (await market.stock(one), await market.stock(other)) == (40, 80)
    calls = [call for made in first for call in (market.cancel(made.name), market.order(wallet, *ways[0]))]
    answers = await asyncio.gather(*map(attempt, calls))
    assert not [answer for answer in answers if isinstance(answer, Refusal)]
    assert (await market.stock(one), await market.stock(other)) == (40, 80)
    assert market.failures("40P01") == before, "no deadlock was even retried: the order of the locks prevents them"


@pytest.mark.parametrize("method", TARGETS)
async def test_of_many_at_once_one_succeeds(market: Market, method: str) -> None:
    """Of ten callers that do the same to an order at once exactly one does, and money and stock move once."""
    wallet, product = await market.wallet(1000), await market.product(price_cents=100, stock=10)
    order = await _in_state(market, "PENDING" if method == "PayOrder" else "PAID", wallet, product)
    call = {"PayOrder": market.pay, "ShipOrder": market.ship, "CancelOrder": market.cancel}[method]
    answers = await asyncio.gather(*(attempt(call(order.name)) for _ in range(10)))
    told = [answer for answer in answers if isinstance(answer, Refusal)]
    assert [(answer.info.reason, answer.info.metadata["state"]) for answer in told] == [
        ("STATE_NOT_ALLOWED", TARGETS[method])
    ] * 9
    cancelled = method == "CancelOrder"
    assert await market.balance(wallet) == (1000 if cancelled else 800)
    assert await market.stock(product) == (10 if cancelled else 8)


async def test_an_order_is_either_shipped_or_cancelled(market: Market) -> None:
    """Of a ShipOrder and a CancelOrder at once exactly one succeeds, and the money is where that one leaves it."""
    wallet, product = await market.wallet(2000), await market.product(price_cents=100, stock=20)
    orders = [await _in_state(market, "PAID", wallet, product) for _ in range(10)]
    calls = [call(order.name) for order in orders for call in (market.ship, market.cancel)]
    answers = await asyncio.gather(*map(attempt, calls))
    for pair in zip(answers[::2], answers[1::2], strict=True):
        assert [isinstance(answer, Refusal) for answer in pair].count(True) == 1
    shipped = sum(not isinstance(answer, Refusal) for answer in answers[::2])
    assert await market.balance(wallet) == 2000 - shipped * 200
    assert await market.stock(product) == 20 - shipped * 2


@pytest.mark.parametrize("force", [False, True])
async def test_a_customer_cannot_be_deleted(market: Market, force: bool) -> None:
    """Who has ordered something stays, whatever is forced, also when nothing was paid and all is cancelled."""
    user, product = await market.user(), await market.product()
    await market.cancel((await market.order(user.name, (product, 1))).name)
    told = await refused(market.users.DeleteUser(user_pb2.DeleteUserRequest(name=user.name, force=force)))
    assert (told.code, told.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RESOURCE_IN_USE")


async def test_a_product_that_was_ordered_cannot_be_deleted(market: Market) -> None:
    """What an order names stays, so that the order can be read and cancelled."""
    wallet, product = await market.wallet(), await market.product()
    order = await market.order(wallet, (product, 1))
    told = await refused(market.products.DeleteProduct(product_pb2.DeleteProductRequest(name=product)))
    assert (told.code, told.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RESOURCE_IN_USE")
    assert (await market.cancel(order.name)).items[0].product == product


async def _in_state(market: Market, state: str, wallet: str, product: str) -> order_pb2.Order:
    """Return an order of two of a product in a state."""
    order = await market.order(wallet, (product, 2))
    if state in ("PAID", "SHIPPED"):
        order = await market.pay(order.name)
    if state == "SHIPPED":
        order = await market.ship(order.name)
    if state == "CANCELLED":
        order = await market.cancel(order.name)
    return order


async def _orders_of(market: Market, wallet: str) -> list[Any]:
    """Return the ids of the orders of a wallet's user that are on record."""
    rows = await market.sql("SELECT id FROM orders WHERE customer_id = :id", id=key(wallet))
    return [row[0] for row in rows]


async def _fill(market: Market, wallet: str, cents: int) -> None:
    """Set what a wallet holds: a hundred thousand deposits would be needed to come near its limit."""
    await market.sql("UPDATE wallets SET balance_cents = :cents WHERE user_id = :id", cents=cents, id=key(wallet))
