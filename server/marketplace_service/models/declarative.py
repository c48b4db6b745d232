"""What every table has: names for its constraints, and the audit columns."""

from datetime import UTC, datetime
from typing import Annotated, Any

from sqlalchemy import BigInteger, DateTime, Dialect, Identity, Integer, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

# Every constraint has a name that is the same on every database, so that a migration can drop it
# and an error can be traced to its columns.
NAMES = {
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

# An id that the database counts up. SQLite counts only a column whose type is INTEGER to the letter.
Serial = Annotated[int, mapped_column(BigInteger().with_variant(Integer(), "sqlite"), Identity(), primary_key=True)]


class LowerCase(TypeDecorator[str]):
    """Text kept and compared in lower case, whatever case it comes in."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """Return the text as it is kept and compared."""
        return None if value is None else value.lower()


def now() -> datetime:
    """Return the server's time, in UTC, to the microsecond."""
    return datetime.now(UTC)


def _as_created(context: Any) -> datetime:
    created: datetime = context.get_current_parameters()["create_time"]
    return created


class Base(DeclarativeBase):
    """A table with its audit columns.

    Attributes:
        create_time: When the row was made.
        update_time: When the row last changed; the same as `create_time` until it does.
        created_by: Who made it, as authentication knows them; None where nobody was authenticated.
        updated_by: Who changed it last, likewise.
    """

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {datetime: Instant}  # noqa: RUF012 - SQLAlchemy declares it so

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        # Without it SQLite gives the id of a deleted last row to the next one: a name would come to mean another.
        cls.__table__.dialect_kwargs["sqlite_autoincrement"] = True  # type: ignore[attr-defined]

    create_time: Mapped[datetime] = mapped_column(default=now, sort_order=100)
    update_time: Mapped[datetime] = mapped_column(default=_as_created, onupdate=now, sort_order=101)
    created_by: Mapped[str | None] = mapped_column(String(255), sort_order=102)
    updated_by: Mapped[str | None] = mapped_column(String(255), sort_order=103)
