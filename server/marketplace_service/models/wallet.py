"""The table of wallets."""

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_service.models.declarative import Base
from tablestakes.columns import Versioned


class Wallet(Versioned, Base):
    """The money of a user: a row at the most for each user, who cannot be deleted once there is one."""

    __tablename__ = "wallets"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    balance_cents: Mapped[int] = mapped_column(BigInteger, default=0)

    __table_args__ = (CheckConstraint(balance_cents >= 0, name="balance_cents"),)
