"""The table of users."""

from sqlalchemy import CheckConstraint, Index, String, func
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_service.models.declarative import Base
from tablestakes.columns import LowerCase, Serial, SoftDeleted, Versioned, bytewise, unique_among_live


class User(SoftDeleted, Versioned, Base):
    """A person with an account."""

    __tablename__ = "users"

    id: Mapped[Serial]
    email: Mapped[str] = mapped_column(LowerCase(254))
    username: Mapped[str] = mapped_column(bytewise(30))
    full_name: Mapped[str] = mapped_column(String(200), default="")
    active: Mapped[bool] = mapped_column(default=True)
    # An argon2id hash in its PHC form, never the password itself.
    password: Mapped[str | None] = mapped_column(String(255))

    # Rules that hold whoever writes: the proto's rules bind the callers of the API alone.
    __table_args__ = (
        CheckConstraint(func.length(email) > 0, name="email"),
        CheckConstraint(func.length(username) > 0, name="username"),
        unique_among_live("email"),
        unique_among_live("username"),
        # The order that callers are told of, deleted users among them.
        Index(None, "username", "id"),
    )
