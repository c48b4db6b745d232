"""The table of profiles."""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_service.models.declarative import Base


class Profile(Base):
    """What a user tells of themselves: a row at the most for each user, which goes with the user."""

    __tablename__ = "profiles"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    bio: Mapped[str] = mapped_column(String(2000), default="")
    website_uri: Mapped[str] = mapped_column(String(2048), default="")
    avatar_uri: Mapped[str] = mapped_column(String(2048), default="")
    birth_date: Mapped[str] = mapped_column(String(10), default="")
