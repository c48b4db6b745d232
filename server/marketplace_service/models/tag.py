"""The table of tags."""

from sqlalchemy import CheckConstraint, String, func
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_service.models.declarative import Base
from tablestakes.columns import Versioned, bytewise


class Tag(Versioned, Base):
    """A subject that posts may be about, under an id that whoever creates it chooses."""

    __tablename__ = "tags"

    id: Mapped[str] = mapped_column(bytewise(63), primary_key=True)
    display_name: Mapped[str] = mapped_column(String(63))

    __table_args__ = (CheckConstraint(func.length(display_name) > 0, name="display_name"),)
