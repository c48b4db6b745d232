"""Orders: what a customer buys. Stock is taken when an order is made, and money when it is paid."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import Message
from grpc import StatusCode
from marketplace.v1 import order_pb2
from sqlalchemy import Connection, bindparam, insert, select, update

from marketplace_service.api.wallet import credit, debit
from tablestakes.crud import Plan, Resource, Transition
from tablestakes.crud.verb.transition import wrong_state
from tablestakes.database import Database
from tablestakes.errors import FieldViolation, StatusError, invalid_fields, not_found
from marketplace_service.models import Order, OrderItem, Product, User

# Every function below locks in one order, so that no two of them wait for each other: the order, then its products
# by id, then the customer's wallet.
ADD_STOCK = (
    update(Product).where(Product.id == bindparam("product")).values(stock=Product.stock + bindparam("quantity"))
)


async def create_order(plan: Plan, database: Database, request: Any) -> Message:
    """Price the items, take the stock and compute the total, in one transaction."""
    order = request.order
    customer = plan.fields["customer"].value(order, "order")
    product = plan.collections["items"].fields["product"]
    products = [product.value(item, f"order.items[{index}]") for index, item in enumerate(order.items)]
    quantities: Counter[int] = Counter()
    for key, item in zip(products, order.items, strict=True):
        quantities[key] += item.quantity

    def work(connection: Connection) -> Message:
        if not connection.scalar(select(User.id).where(User.id == customer)):
            raise invalid_fields(_dangling("order.customer"))
        prices = _take(connection, quantities, products)
        total = sum(prices[key] * item.quantity for key, item in zip(products, order.items, strict=True))
        made = insert(Order).values(customer_id=customer, total_cents=total).returning(*plan.full.columns)
        row = connection.execute(made).one()
        items = [
            {
                "order_id": row[0],
                "position": position,
                "product_id": key,
                "quantity": item.quantity,
                "unit_price_cents": prices[key],
            }
            for position, (key, item) in enumerate(zip(products, order.items, strict=True))
        ]
        connection.execute(insert(OrderItem), items)
        return plan.full.message(connection, row)

    return await database.transact(work)


def _take(connection: Connection, quantities: Mapping[int, int], products: Sequence[int]) -> dict[int, int]:
    """Take the stock of products, locked in the order of their ids, and return their prices in cents.

    Raises:
        StatusError: INVALID_ARGUMENT, a product does not exist; FAILED_PRECONDITION, there is too little of one.
    """
    wanted = select(Product.id, Product.price_cents, Product.stock).where(Product.id.in_(quantities))
    found = {row.id: row for row in connection.execute(wanted.order_by(Product.id).with_for_update())}
    if unknown := [index for index, key in enumerate(products) if key not in found]:
        raise invalid_fields(*(_dangling(f"order.items[{index}].product") for index in unknown))
    short = [index for index, key in enumerate(products) if found[key].stock < quantities[key]]
    if short:
        name = f"products/{products[short[0]]}"
        raise StatusError(
            StatusCode.FAILED_PRECONDITION,
            "OUT_OF_STOCK",
            f"{name} has {found[products[short[0]]].stock} left.",
            metadata={"resource": name, "stock": str(found[products[short[0]]].stock)},
            violations=tuple(
                FieldViolation(f"order.items[{index}].quantity", "is more than there is.", "OUT_OF_STOCK")
                for index in short
            ),
        )
    taken = [{"product": key, "quantity": -quantities[key]} for key in sorted(quantities)]
    connection.execute(ADD_STOCK, taken)
    return {key: row.price_cents for key, row in found.items()}


async def pay_order(plan: Plan, database: Database, request: Any) -> Message:
    """Take the total from the customer's wallet."""

    def work(connection: Connection) -> Message:
        order = _locked(connection, plan, request.name, ("PENDING",), "PAID")
        debit(connection, order.customer_id, order.total_cents, f"users/{order.customer_id}/wallet")
        return _become(connection, plan, order.id, "PAID")

    return await database.transact(work)


async def cancel_order(plan: Plan, database: Database, request: Any) -> Message:
    """Give back the stock, and the money where it was paid."""

    def work(connection: Connection) -> Message:
        order = _locked(connection, plan, request.name, ("PENDING", "PAID"), "CANCELLED")
        items = select(OrderItem.product_id, OrderItem.quantity).where(OrderItem.order_id == order.id)
        given = [
            {"product": product, "quantity": quantity}
            for product, quantity in sorted(tuple(row) for row in connection.execute(items))
        ]
        connection.execute(ADD_STOCK, given)
        if order.state == "PAID":
            credit(connection, order.customer_id, order.total_cents, f"users/{order.customer_id}/wallet")
        return _become(connection, plan, order.id, "CANCELLED")

    return await database.transact(work)


def _locked(connection: Connection, plan: Plan, name: str, sources: Sequence[str], target: str) -> Any:
    """Return an order's row, locked, that is in one of some states.

    Raises:
        StatusError: NOT_FOUND, there is no such order; FAILED_PRECONDITION, it is in another state.
    """
    columns = select(Order.id, Order.state, Order.customer_id, Order.total_cents)
    parameters = plan.names.parse(name, "name")
    order = connection.execute(columns.where(plan.has_name()).with_for_update(), parameters).first()
    if order is None:
        raise not_found(name)
    if order.state not in sources:
        raise wrong_state(name, order.state, target)
    return order


def _become(connection: Connection, plan: Plan, key: int, state: str) -> Message:
    changed = update(Order).where(Order.id == key).values(state=state).returning(*plan.full.columns)
    return plan.full.message(connection, connection.execute(changed).one())


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
)
