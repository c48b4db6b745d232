"""Orders: purchases of a customer. Stock is taken when an order is made, and money when it is paid."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message
from grpc import StatusCode
from marketplace.v1 import order_pb2
from sqlalchemy import bindparam, insert, select, update

from marketplace_service.api.roles import ADMIN
from marketplace_service.api.wallet import credit, debit
from marketplace_service.models import Order, OrderItem, Product, User
from tablestakes import (
    AUTHENTICATED,
    EVERY_ROW,
    KNOWN,
    Call,
    FieldPolicy,
    FieldViolation,
    Key,
    Resource,
    RowPolicy,
    Schema,
    Session,
    StatusError,
    Transition,
    Work,
    invalid_fields,
    not_found,
    wrong_state,
)

# Every function below locks in one order, so that no two of them wait for each other: the order, then its products
# by id, then the customer's wallet.


async def create_order(orders: Schema, call: Call[order_pb2.CreateOrderRequest]) -> Work[Message]:
    """Price the items, take the stock and compute the total, in one transaction."""
    order = call.request.order
    customer = orders.field("customer").value(order, "order")
    product: Any = orders.items("items").fields["product"]
    products = [product.value(item, f"order.items[{index}]") for index, item in enumerate(order.items)]
    quantities: Counter[int] = Counter()
    for key, item in zip(products, order.items, strict=True):
        quantities[key] += item.quantity

    def create(session: Session) -> Message:
        connection = session.connection
        if connection.scalar(select(User.id).where(User.id == customer)) is None:
            raise invalid_fields(_dangling("order.customer"))
        with session.elevated():  # whoever may order takes stock
            prices = _take_stock(session, quantities, products)
        total = sum(prices[key] * item.quantity for key, item in zip(products, order.items, strict=True))
        row = orders.rows.insert(session, {"customer_id": customer, "total_cents": total})
        (order_id,) = orders.full.key(row)
        items = [
            {
                "order_id": order_id,
                "position": position,
                "product_id": key,
                "quantity": item.quantity,
                "unit_price_cents": prices[key],
                **session.created,
            }
            for position, (key, item) in enumerate(zip(products, order.items, strict=True))
        ]
        connection.execute(insert(OrderItem), items)
        return orders.full.message(connection, row)

    return Work(create, atomic=True, writes={"customer_id": customer})


def _take_stock(session: Session, quantities: Mapping[int, int], products: Sequence[int]) -> dict[int, int]:
    """Take the stock of products, locked in the order of their ids, and return their prices in cents.

    Raises:
        StatusError: INVALID_ARGUMENT, a product does not exist; FAILED_PRECONDITION, there is too little of one.
    """
    wanted = select(Product.id, Product.price_cents, Product.stock).where(Product.id.in_(quantities))
    found = {row.id: row for row in session.connection.execute(wanted.order_by(Product.id).with_for_update())}
    if unknown := [index for index, key in enumerate(products) if key not in found]:
        raise invalid_fields(*(_dangling(f"order.items[{index}].product") for index in unknown))
    short = [index for index, key in enumerate(products) if found[key].stock < quantities[key]]
    if short:
        name, stock = f"products/{products[short[0]]}", found[products[short[0]]].stock
        raise StatusError(
            StatusCode.FAILED_PRECONDITION,
            "OUT_OF_STOCK",
            f"{name} has {stock} left.",
            metadata={"resource": name, "stock": str(stock)},
            violations=tuple(
                FieldViolation(f"order.items[{index}].quantity", "is more than there is.", "OUT_OF_STOCK")
                for index in short
            ),
        )
    _add_stock(session, ((key, -quantity) for key, quantity in quantities.items()))
    return {key: row.price_cents for key, row in found.items()}


def _add_stock(session: Session, quantities: Iterable[tuple[int, int]]) -> None:
    """Add to the stock of products, given by id and quantity, in the order of their ids."""
    change = (
        update(Product)
        .where(Product.id == bindparam("product"))
        .values(stock=Product.stock + bindparam("quantity"), **session.changed)
    )
    if added := [{"product": key, "quantity": quantity} for key, quantity in sorted(quantities)]:
        session.connection.execute(change, added)


async def pay_order(orders: Schema, call: Call[order_pb2.PayOrderRequest]) -> Work[Message]:
    """Take the total from the customer's wallet."""
    name = call.request.name
    key = orders.names.parse(name, "name")

    def pay(session: Session) -> Message:
        order = _locked(session, orders, key, name, ("PENDING",), "PAID")
        with session.elevated():  # whoever may pay the order
            debit(session, order.customer_id, order.total_cents, f"users/{order.customer_id}/wallet")
        return _become(session, orders, key, "PAID")

    return Work(pay, atomic=True, key=key)


async def cancel_order(orders: Schema, call: Call[order_pb2.CancelOrderRequest]) -> Work[Message]:
    """Give back the stock, and the money where it was paid."""
    name = call.request.name
    key = orders.names.parse(name, "name")

    def cancel(session: Session) -> Message:
        order = _locked(session, orders, key, name, ("PENDING", "PAID"), "CANCELLED")
        items = select(OrderItem.product_id, OrderItem.quantity).where(OrderItem.order_id == order.id)
        with session.elevated():  # whoever may cancel the order
            _add_stock(session, [(row.product_id, row.quantity) for row in session.connection.execute(items)])
            if order.state == "PAID":
                credit(session, order.customer_id, order.total_cents, f"users/{order.customer_id}/wallet")
        return _become(session, orders, key, "CANCELLED")

    return Work(cancel, atomic=True, key=key)


def _locked(session: Session, orders: Schema, key: Key, name: str, sources: Sequence[str], target: str) -> Any:
    """Return an order's row, locked, that is in one of some states.

    Raises:
        StatusError: NOT_FOUND, there is no such order; FAILED_PRECONDITION, it is in another state.
    """
    columns = select(Order.id, Order.state, Order.customer_id, Order.total_cents)
    locking = columns.where(orders.names.where()).with_for_update()
    order = session.connection.execute(locking, orders.names.bind(key)).first()
    if order is None:
        raise not_found(name)
    if order.state not in sources:
        raise wrong_state(name, order.state, target)
    return order


def _become(session: Session, orders: Schema, key: Key, state: str) -> Message:
    row = orders.rows.update(session, key, {"state": state})
    assert row is not None  # noqa: S101 - it is locked
    return orders.full.message(session.connection, row)


def _dangling(path: str) -> FieldViolation:
    return FieldViolation(path, "refers to a resource that does not exist.", "REFERENCE_NOT_FOUND")


RESOURCE = Resource(
    message=order_pb2.Order,
    model=Order,
    methods={
        "CreateOrder": create_order,
        "PayOrder": pay_order,
        "ShipOrder": Transition(("PAID",), "SHIPPED"),
        "CancelOrder": cancel_order,
    },
    filterable=("customer", "items.product"),
    reads=KNOWN,
    writes=KNOWN,
    access={"ShipOrder": ADMIN},
    rows=(
        RowPolicy(to=AUTHENTICATED, read="customer = $caller.user", write="customer = $caller.user"),
        RowPolicy(to="admin", read=EVERY_ROW, write=EVERY_ROW),
    ),
    fields=(FieldPolicy(field="customer", writers=frozenset({"admin"}), preset="$caller.user"),),
)
