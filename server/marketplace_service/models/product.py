"""The table of products."""

from sqlalchemy import BigInteger, CheckConstraint, Index, String, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_service.models.declarative import Base
from tablestakes.columns import Serial, Versioned, bytewise


class Product(Versioned, Base):
    """Goods with a price."""

    __tablename__ = "products"

    id: Mapped[Serial]
    display_name: Mapped[str] = mapped_column(String(63))
    category: Mapped[str] = mapped_column(bytewise(63))
    price_cents: Mapped[int] = mapped_column(BigInteger)
    stock: Mapped[int] = mapped_column(BigInteger, default=0)

    __table_args__ = (
        UniqueConstraint(display_name, category),
        CheckConstraint(func.length(display_name) > 0, name="display_name"),
        CheckConstraint(func.length(category) > 0, name="category"),
        CheckConstraint(price_cents > 0, name="price_cents"),
        CheckConstraint(stock >= 0, name="stock"),
        # The orders that callers are told of.
        Index(None, "category", "price_cents", "id"),
        Index(None, "price_cents", "id"),
    )
