"""The tables of posts and of what they are about."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, String, Table, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from marketplace_service.models.declarative import Base
from marketplace_service.models.tag import Tag
from tablestakes.columns import Serial, SoftDeleted, Versioned

post_tags = Table(
    "post_tags",
    Base.metadata,
    Column("post_id", ForeignKey("posts.id", ondelete="CASCADE"), primary_key=True),
    Column("tag_id", ForeignKey("tags.id"), primary_key=True, index=True),
)


class Post(SoftDeleted, Versioned, Base):
    """A text that a user writes for all to read."""

    __tablename__ = "posts"

    id: Mapped[Serial]
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    title: Mapped[str] = mapped_column(String(200))
    content: Mapped[str] = mapped_column(String(100_000), default="")
    state: Mapped[str] = mapped_column(String(16), default="DRAFT")
    publish_time: Mapped[datetime | None]

    tags: Mapped[list[Tag]] = relationship(secondary=post_tags, order_by=Tag.id, lazy="raise", viewonly=True)

    __table_args__ = (
        CheckConstraint(func.length(title) > 0, name="title"),
        CheckConstraint(state.in_(("DRAFT", "PUBLISHED", "ARCHIVED")), name="state"),
        # The order that callers are told of.
        Index(None, "publish_time", "id"),
    )
