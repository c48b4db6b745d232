"""Models are written with these: types of columns, keys, names, audit columns, versions, deletion."""

import time
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Context, Decimal, Inexact, InvalidOperation
from typing import Annotated, Any
from uuid import UUID, uuid4

import uuid_utils.compat
from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Identity,
    Index,
    Integer,
    Numeric,
    String,
    Table,
    Uuid,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

__all__ = [
    "NAMING_CONVENTION",
    "Audited",
    "Document",
    "FixedDecimal",
    "FreshIds",
    "Instant",
    "LowerCase",
    "RandomUuidKey",
    "Serial",
    "SoftDeleted",
    "UuidKey",
    "Versioned",
    "bytewise",
    "first_version",
    "now",
    "unique_among_live",
    "uuid7",
]

# Every constraint has a name that is the same on every database, so that a migration can drop it
# and an error can be traced to its columns.
NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}


class _NaiveUtc(TypeDecorator[datetime]):
    """An instant in SQLite, which knows no time zones: kept in UTC without one, returned with it."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


# A variant and not a decorator for every database: PostgreSQL's driver gives aware datetimes as they are, and
# a page of rows should not pay for a call of ours on each.
Instant = DateTime(timezone=True).with_variant(_NaiveUtc(), "sqlite")

# A message, a list or a map. Nothing is NULL, for the JSON null would be something to every IS NULL.
Document: TypeEngine[Any] = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def bytewise(length: int) -> TypeEngine[str]:
    """Return the type of text that every database compares and orders by its bytes in UTF-8: that of a text key.

    A List is in the order of its keys, which on PostgreSQL would else be that of the database's own collation.
    SQLite compares bytes unless it is told otherwise.

    Args:
        length: The most characters that there may be.
    """
    return String(length).with_variant(String(length, collation="C"), "postgresql")


class LowerCase(TypeDecorator[str]):
    """Text kept and compared in lower case, whatever case it comes in.

    Python folds it, by Unicode's own rules, before any statement sees it: LOWER in SQL knows ASCII alone on SQLite,
    and the language of the database's locale on PostgreSQL.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """Return the text as it is kept and compared."""
        return None if value is None else value.lower()


class FixedDecimal(TypeDecorator[Decimal]):
    """A decimal number with a fixed number of decimals, kept exactly on every database.

    PostgreSQL keeps it in a NUMERIC. SQLite has no decimals, and would keep a float: there the column is an INTEGER
    that counts the smallest unit, which compares, orders and sums as the number does. Products and quotients are
    for Python: SQLite would multiply the units. A number with more digits than the column has is an error, and is
    never rounded.

    Args:
        precision: How many digits there are, from 1 to 18: what fits into SQLite's INTEGER.
        scale: How many of them are decimals.

    Raises:
        ValueError: There is no such column.
    """

    impl = Numeric
    cache_ok = True

    MOST_DIGITS = 18

    def __init__(self, precision: int, scale: int) -> None:
        if not 1 <= precision <= self.MOST_DIGITS:
            raise ValueError(f"precision is {precision}, and must be from 1 to {self.MOST_DIGITS}")
        if not 0 <= scale <= precision:
            raise ValueError(f"scale is {scale}, and must be from 0 to the precision, {precision}")
        super().__init__(precision, scale)
        self.precision = precision
        self.scale = scale
        self._unit = Decimal(1).scaleb(-scale)
        # Were it rounded up, 9.99 might have too many digits, which is not what is wrong with it.
        self._context = Context(prec=precision, rounding=ROUND_DOWN, traps=[InvalidOperation, Inexact])

    @property
    def python_type(self) -> type[Decimal]:
        """The type of its values."""
        return Decimal

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return what keeps the number on a database."""
        return dialect.type_descriptor(
            Integer() if dialect.name == "sqlite" else Numeric(self.precision, self.scale)
        )

    def exact(self, value: Decimal | int) -> Decimal:
        """Return a number with exactly the decimals of this column.

        Raises:
            decimal.InvalidOperation: It has more digits before the point than there are, or is no finite number.
            decimal.Inexact: It has more decimals than there are.
        """
        found = Decimal(value)
        if not found.is_finite():
            raise InvalidOperation(f"{found} is not finite")
        # It would be an error of its own to have no digits at all; and no database tells -0 from 0.
        return found.quantize(self._unit, context=self._context) if found else Decimal(0).scaleb(-self.scale)

    def process_bind_param(self, value: Decimal | int | None, dialect: Dialect) -> Any:
        """Return the number as the database takes it."""
        if value is None:
            return None
        if isinstance(value, float):
            raise TypeError(f"{value!r} is a float, and not the decimal number that it looks like")
        exact = self.exact(value)
        return int(exact.scaleb(self.scale)) if dialect.name == "sqlite" else exact

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Decimal | None:
        """Return the number of what the database gave."""
        if value is None:
            return None
        return Decimal(value).scaleb(-self.scale) if dialect.name == "sqlite" else Decimal(value)


def now() -> datetime:
    """Return the server's time, in UTC, to the microsecond."""
    return datetime.now(UTC)


def uuid7() -> UUID:
    """Return a new UUID that sorts after those made before it (RFC 9562): new rows lie together in an index."""
    # Python's own comes with 3.14.
    return uuid_utils.compat.uuid7()


# An id that the database counts up. SQLite counts only a column whose type is INTEGER to the letter.
Serial = Annotated[int, mapped_column(BigInteger().with_variant(Integer(), "sqlite"), Identity(), primary_key=True)]

# An id that nobody can count. It says when it was made; `RandomUuidKey` does not.
UuidKey = Annotated[UUID, mapped_column(Uuid, primary_key=True, default=uuid7)]

# An id that says nothing at all, for a table that can afford new rows all over its index.
RandomUuidKey = Annotated[UUID, mapped_column(Uuid, primary_key=True, default=uuid4)]


class FreshIds:
    """A mixin for a table, or for the base of all of them: no id that the database counts up is given twice.

    Without it SQLite gives the id of a deleted last row to the next one: a name would come to mean another. On a
    table whose key is not counted, and on PostgreSQL, it changes nothing.
    """

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        # A base of others has no table.
        table = getattr(cls, "__table__", None)
        if isinstance(table, Table):
            table.dialect_kwargs["sqlite_autoincrement"] = True


class Audited:
    """A mixin with the audit columns, which the engine fills by itself.

    Attributes:
        create_time: When the row was made.
        update_time: When the row last changed; the same as `create_time` until it does.
        created_by: Who made it, as authentication knows them; None where nobody was authenticated.
        updated_by: Who changed it last, likewise.
    """

    create_time: Mapped[datetime] = mapped_column(Instant, sort_order=100)
    update_time: Mapped[datetime] = mapped_column(Instant, sort_order=101)
    created_by: Mapped[str | None] = mapped_column(String(255), sort_order=102)
    updated_by: Mapped[str | None] = mapped_column(String(255), sort_order=103)


def first_version() -> int:
    """Return the version of a new row: the microseconds since 1970.

    A row that is made under the id of one that was deleted so has a later version than that one ever had, and an
    etag of the old resource does not fit the new one.
    """
    return time.time_ns() // 1000


class Versioned:
    """A mixin with the version of a row, which changes whenever the row does: its resource's etag (AIP-154).

    Every UPDATE that SQLAlchemy compiles counts it up by itself, so that a function's own statement need not think
    of it. An `ON CONFLICT DO UPDATE` and SQL as text must do so themselves.

    Attributes:
        row_version: The version; later ones are greater.
    """

    row_version: Mapped[int] = mapped_column(
        BigInteger,
        default=first_version,
        # For rows that were there before the column, and for those that another program makes.
        server_default="1",
        onupdate=literal_column("row_version", BigInteger) + 1,
        sort_order=104,
    )


DELETE_TIME, EXPIRE_TIME = "delete_time", "expire_time"


class SoftDeleted:
    """A mixin for a resource that is deleted softly (AIP-164): its row stays for a while, and can be restored.

    The resource's message has `delete_time`. A unique constraint of such a table would keep the values of deleted
    rows from being used again: `unique_among_live` does not.

    Attributes:
        delete_time: When it was deleted; None while it is not.
        expire_time: When it may be removed for good; None while it is not deleted.
    """

    delete_time: Mapped[datetime | None] = mapped_column(Instant, sort_order=105)
    # Rows to remove are found by it.
    expire_time: Mapped[datetime | None] = mapped_column(Instant, sort_order=106, index=True)


def unique_among_live(*columns: str) -> Index:
    """Return an index of a `SoftDeleted` model by which no two rows that are not deleted share some values.

    Args:
        columns: The names of the columns.
    """
    condition = text(f"{DELETE_TIME} IS NULL")
    return Index(
        None, *columns, unique=True, postgresql_where=condition, sqlite_where=condition, info={DELETE_TIME: True}
    )
