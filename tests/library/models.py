"""The library's tables."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from tablestakes import (
    NAMING_CONVENTION,
    Audited,
    Document,
    FixedDecimal,
    Instant,
    RandomUuidKey,
    SoftDeleted,
    UuidKey,
    Versioned,
    unique_among_live,
)


class Base(DeclarativeBase):
    """The base of every table."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {datetime: Instant}  # noqa: RUF012 - SQLAlchemy declares it so


class Reader(Versioned, Audited, Base):
    """A reader, whose id says nothing at all."""

    __tablename__ = "readers"

    id: Mapped[RandomUuidKey]
    display_name: Mapped[str] = mapped_column(String(63))
    card: Mapped[UUID] = mapped_column(Uuid, unique=True)


shelf_keepers = Table(
    "shelf_keepers",
    Base.metadata,
    Column("shelf_id", ForeignKey("shelves.id", ondelete="CASCADE"), primary_key=True),
    Column("reader_id", ForeignKey("readers.id"), primary_key=True, index=True),
)


class Shelf(SoftDeleted, Versioned, Audited, Base):
    """A shelf."""

    __tablename__ = "shelves"

    id: Mapped[UuidKey]
    theme: Mapped[str] = mapped_column(String(63))
    place: Mapped[Any | None] = mapped_column(Document)
    size: Mapped[str | None] = mapped_column(String(40))
    curator_id: Mapped[UUID | None] = mapped_column(ForeignKey("readers.id"), index=True)

    keepers: Mapped[list[Reader]] = relationship(
        secondary=shelf_keepers, order_by=Reader.id, lazy="raise", viewonly=True
    )

    __table_args__ = (unique_among_live("theme"),)


class Chapter(Base):
    """A chapter of a book."""

    __tablename__ = "chapters"

    book_id: Mapped[UUID] = mapped_column(ForeignKey("books.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    heading: Mapped[str] = mapped_column(String(200))
    first_page: Mapped[int] = mapped_column(BigInteger)
    topics: Mapped[Any] = mapped_column(Document)


class Book(SoftDeleted, Versioned, Audited, Base):
    """A book on a shelf."""

    __tablename__ = "books"

    id: Mapped[UuidKey]
    shelf_id: Mapped[UUID] = mapped_column(ForeignKey("shelves.id"))
    title: Mapped[str] = mapped_column(String(200))
    authors: Mapped[Any] = mapped_column(Document)
    labels: Mapped[Any] = mapped_column(Document)
    price_currency_code: Mapped[str | None] = mapped_column(String(3))
    price_units: Mapped[int | None] = mapped_column(BigInteger)
    price_nanos: Mapped[int | None]
    publish_date: Mapped[date | None]
    loan_period: Mapped[timedelta | None]
    weight: Mapped[Decimal | None] = mapped_column(FixedDecimal(9, 3))
    cover: Mapped[bytes] = mapped_column(default=b"")
    attributes: Mapped[Any | None] = mapped_column(Document)
    pages: Mapped[int] = mapped_column(BigInteger, default=0)
    rating: Mapped[float] = mapped_column(default=0.0)
    binding: Mapped[int] = mapped_column(default=0)
    borrower_id: Mapped[UUID | None] = mapped_column(ForeignKey("readers.id"), index=True)

    chapters: Mapped[list[Chapter]] = relationship(order_by=Chapter.position, lazy="raise")

    __table_args__ = (
        unique_among_live("shelf_id", "title"),
        # A note's foreign key refers to these: to a book by its name, and not merely by its id.
        UniqueConstraint("shelf_id", "id"),
        CheckConstraint(pages < 100_000, name="pages"),
    )


class Note(Versioned, Base):
    """A note in a book."""

    __tablename__ = "notes"

    id: Mapped[UuidKey]
    shelf_id: Mapped[UUID]
    book_id: Mapped[UUID]
    text: Mapped[str] = mapped_column(String(1000))
    page: Mapped[int | None]

    __table_args__ = (
        ForeignKeyConstraint(["shelf_id", "book_id"], ["books.shelf_id", "books.id"]),
        # A page of a book's notes is read in this order.
        Index(None, "shelf_id", "book_id", "id"),
    )
