"""The table of profiles."""

from datetime import date

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_service.models.declarative import Base
from tablestakes.columns import Versioned


class Profile(Versioned, Base):
    """The description that a user gives of themselves: at most one row for each user, deleted with the user."""

    __tablename__ = "profiles"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    bio: Mapped[str] = mapped_column(String(2000), default="")
    website_uri: Mapped[str] = mapped_column(String(2048), default="")
    avatar_uri: Mapped[str] = mapped_column(String(2048), default="")
    birth_date: Mapped[date | None]
