"""The table of transfers."""

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_service.models.declarative import Base
from tablestakes.columns import Serial


class Transfer(Base):
    """Money that went from one wallet to another."""

    __tablename__ = "transfers"

    id: Mapped[Serial]
    source_id: Mapped[int] = mapped_column(ForeignKey("wallets.user_id"), index=True)
    destination_id: Mapped[int] = mapped_column(ForeignKey("wallets.user_id"), index=True)
    amount_cents: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        CheckConstraint(source_id != destination_id, name="destination_id"),
        CheckConstraint(amount_cents > 0, name="amount_cents"),
    )
