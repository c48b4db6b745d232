"""The tables of orders and of their items."""

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from marketplace_service.models.declarative import Base
from tablestakes.columns import Serial, Versioned


class OrderItem(Base):
    """Some of one product, in an order, at the price of the moment at which it was ordered."""

    __tablename__ = "order_items"

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"), index=True)
    quantity: Mapped[int] = mapped_column()
    unit_price_cents: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        CheckConstraint(quantity > 0, name="quantity"),
        CheckConstraint(unit_price_cents > 0, name="unit_price_cents"),
    )


class Order(Versioned, Base):
    """A purchase of a user."""

    __tablename__ = "orders"

    id: Mapped[Serial]
    customer_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    total_cents: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(16), default="PENDING")

    items: Mapped[list[OrderItem]] = relationship(order_by=OrderItem.position, lazy="raise")

    __table_args__ = (
        CheckConstraint(total_cents >= 0, name="total_cents"),
        CheckConstraint(state.in_(("PENDING", "PAID", "SHIPPED", "CANCELLED")), name="state"),
    )
