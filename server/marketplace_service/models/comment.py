"""The table of comments."""

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, func
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_service.models.declarative import Base
from tablestakes.columns import Serial, Versioned


class Comment(Versioned, Base):
    """A remark of a user under a post."""

    __tablename__ = "comments"

    id: Mapped[Serial]
    post_id: Mapped[int] = mapped_column(ForeignKey("posts.id"))
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    body: Mapped[str] = mapped_column(String(2000))

    __table_args__ = (
        CheckConstraint(func.length(body) > 0, name="body"),
        # A page of a post's comments is read in this order.
        Index(None, "post_id", "id"),
    )
