"""The table of addresses."""

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, func
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_service.models.declarative import Base
from tablestakes.columns import Serial, Versioned


class Address(Versioned, Base):
    """A place to which a user has goods sent."""

    __tablename__ = "addresses"

    id: Mapped[Serial]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    label: Mapped[str] = mapped_column(String(63), default="")
    lines: Mapped[str] = mapped_column(String(500))
    city: Mapped[str] = mapped_column(String(100))
    region: Mapped[str] = mapped_column(String(100), default="")
    postal_code: Mapped[str] = mapped_column(String(20), default="")
    region_code: Mapped[str] = mapped_column(String(2))

    __table_args__ = (
        CheckConstraint(func.length(lines) > 0, name="lines"),
        CheckConstraint(func.length(city) > 0, name="city"),
        CheckConstraint(func.length(region_code) > 0, name="region_code"),
        # A page of a user's addresses is read in this order.
        Index(None, "user_id", "id"),
    )
