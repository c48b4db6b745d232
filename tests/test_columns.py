"""What models are written with: keys, exact decimals, documents and the audit columns."""

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, MetaData, Table, create_engine, func, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateTable

from tablestakes.columns import (
    NAMING_CONVENTION,
    Audited,
    Document,
    FixedDecimal,
    FreshIds,
    Instant,
    LowerCase,
    RandomUuidKey,
    Serial,
    UuidKey,
    now,
    uuid7,
)

AMOUNTS = ["-0.01", "1.50", "9999999999999999.99", "-9999999999999999.99", "10.00", "0.00", "9.00"]


class Base(FreshIds, DeclarativeBase):
    """The base of the tables here."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Counted(Audited, Base):
    """A table whose ids are counted."""

    __tablename__ = "counted"

    id: Mapped[Serial]
    amount: Mapped[Decimal | None] = mapped_column(FixedDecimal(18, 2), unique=True)
    body: Mapped[Any | None] = mapped_column(Document)
    email: Mapped[str | None] = mapped_column(LowerCase(20))


class Sorted(Base, Audited):
    """A table whose ids sort by time; its mixin comes last."""

    __tablename__ = "sorted"

    id: Mapped[UuidKey]


class Scattered(Base):
    """A table whose ids say nothing."""

    __tablename__ = "scattered"

    id: Mapped[RandomUuidKey]


COUNTED, SORTED, SCATTERED = (Base.metadata.tables[name] for name in ("counted", "sorted", "scattered"))
# SQLAlchemy has no types for them.
POSTGRESQL, SQLITE = (cast(Any, module).dialect() for module in (postgresql, sqlite))
AUDIT = {"create_time": now(), "update_time": now()}


@pytest.fixture
def connection() -> Iterator[Connection]:
    """A connection to a SQLite in memory, with the tables."""
    engine = create_engine("sqlite://")
    with engine.begin() as connected:
        Base.metadata.create_all(connected)
        yield connected
    engine.dispose()


def ddl(table: Table, dialect: Any) -> str:
    """Return what makes a table on a database, on one line."""
    return " ".join(str(CreateTable(table).compile(dialect=dialect)).split())


def put(connection: Connection, amounts: list[str]) -> None:
    """Write rows with amounts."""
    connection.execute(insert(COUNTED), [{"amount": Decimal(amount), **AUDIT} for amount in amounts])


def require_exact(connection: Connection) -> None:
    """Require of a database that it keeps, orders, finds and sums amounts exactly."""
    put(connection, AMOUNTS)
    amount = COUNTED.c.amount
    ordered = list(connection.scalars(select(amount).order_by(amount)))
    assert [str(each) for each in ordered] == sorted(AMOUNTS, key=lambda each: int(each.replace(".", "")))
    assert list(connection.scalars(select(amount).where(amount == Decimal("1.5")))) == [Decimal("1.50")]
    assert connection.scalar(select(func.count()).where(amount > Decimal(9))) == 2
    assert connection.scalar(select(func.sum(amount))) == Decimal("20.49")
    assert connection.scalar(select(amount + 1).where(amount == 9)) == Decimal("10.00")


def test_sqlite_keeps_decimals_exactly(connection: Connection) -> None:
    """Decimals in SQLite come back to the digit, and order, compare and sum as numbers, in an INTEGER column."""
    require_exact(connection)
    assert connection.scalar(text("SELECT typeof(amount) FROM counted")) == "integer"
    assert connection.scalar(text("SELECT amount FROM counted WHERE id = 2")) == 150


async def test_postgresql_keeps_decimals_exactly(postgres_url: str) -> None:
    """Decimals in PostgreSQL come back to the digit, and order, compare and sum as numbers, in a NUMERIC column."""
    engine = create_async_engine(postgres_url)
    try:
        async with engine.begin() as connected:
            await connected.run_sync(Base.metadata.create_all)
            await connected.run_sync(require_exact)
    finally:
        await engine.dispose()


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 18), st.data())
def test_a_decimal_is_exact_or_an_error(precision: int, data: st.DataObject) -> None:
    """Whatever a number, a column of decimals takes exactly it, or refuses it for the digits that it has."""
    scale = data.draw(st.integers(0, precision))
    number = data.draw(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**19), max_value=10**19))
    try:
        kept = FixedDecimal(precision, scale).exact(number)
    except ArithmeticError:
        units = number.scaleb(scale)
        assert units != units.to_integral_value() or abs(units) >= 10**precision
    else:
        assert kept == number
        assert kept.as_tuple().exponent == -scale


@pytest.mark.parametrize("amount", [Decimal("0.001"), Decimal("1e17"), Decimal("NaN"), Decimal("Infinity"), 0.5])
def test_no_decimal_is_rounded_on_its_way(connection: Connection, amount: Any) -> None:
    """A number that a column of decimals does not have, and any float, is an error where it is written."""
    with pytest.raises((StatementError, ArithmeticError)):
        connection.execute(insert(COUNTED), {"amount": amount, **AUDIT})


@pytest.mark.parametrize(("precision", "scale"), [(0, 0), (19, 2), (5, 6), (5, -1)])
def test_a_column_of_decimals_has_digits_for_every_database(precision: int, scale: int) -> None:
    """A column with more digits than SQLite's integers have, or more decimals than digits, cannot be declared."""
    with pytest.raises(ValueError, match="must be from"):
        FixedDecimal(precision, scale)


def test_columns_are_what_each_database_has() -> None:
    """Decimals, documents, instants and keys have PostgreSQL's own types, and what comes nearest in SQLite."""
    on_postgresql, on_sqlite = ddl(COUNTED, POSTGRESQL), ddl(COUNTED, SQLITE)
    for column in (
        "id BIGINT GENERATED BY DEFAULT AS IDENTITY",
        "amount NUMERIC(18, 2)",
        "body JSONB",
        "create_time TIMESTAMP WITH TIME ZONE NOT NULL",
        "created_by VARCHAR(255)",
        "CONSTRAINT pk_counted PRIMARY KEY (id)",
        "CONSTRAINT uq_counted_amount UNIQUE (amount)",
    ):
        assert column in on_postgresql
    for column in ("id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", "amount INTEGER", "body JSON"):
        assert column in on_sqlite
    assert "id UUID NOT NULL" in ddl(SORTED, POSTGRESQL)
    assert "AUTOINCREMENT" not in ddl(SORTED, SQLITE)


def test_audit_columns_come_last_and_without_defaults() -> None:
    """The audit columns follow a table's own, in one order, and nothing but the engine fills them."""
    names = ["create_time", "update_time", "created_by", "updated_by"]
    for table in (COUNTED, SORTED):
        audited = list(table.c)[-4:]
        assert [column.name for column in audited] == names
        assert [column.nullable for column in audited] == [False, False, True, True]
        assert all(c.default is None and c.onupdate is None and c.server_default is None for c in audited)


def test_no_counted_id_is_given_twice(connection: Connection) -> None:
    """The id of a deleted last row is not given to the next one."""
    put(connection, ["1", "2"])
    connection.execute(COUNTED.delete().where(COUNTED.c.id == 2))
    put(connection, ["3"])
    assert list(connection.scalars(select(COUNTED.c.id).order_by(COUNTED.c.id))) == [1, 3]


def test_uuids_sort_by_when_they_were_made() -> None:
    """A UUID is of version 7 and RFC 9562's variant, tells its millisecond, and sorts after those before it."""
    before = time.time_ns() // 1_000_000
    made = [uuid7() for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    assert made == sorted(made)
    assert len(set(made)) == 1000
    for each in made:
        assert type(each) is uuid.UUID
        assert (each.version, each.variant) == (7, uuid.RFC_4122)
        assert before <= each.int >> 80 <= after


def test_uuid_keys_are_made_by_themselves(connection: Connection) -> None:
    """A row without a key is given a UUID: one that sorts by time, or a random one, as its model says."""
    connection.execute(insert(SORTED), AUDIT)
    connection.execute(insert(SCATTERED), {})
    assert connection.scalars(select(SORTED.c.id)).one().version == 7
    assert connection.scalars(select(SCATTERED.c.id)).one().version == 4


def test_instants_are_kept_in_utc(connection: Connection) -> None:
    """An instant of any zone is kept in SQLite in UTC, and comes back with its zone."""
    here = datetime(2024, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    connection.execute(insert(SORTED), {"create_time": here, "update_time": here})
    found = connection.scalars(select(SORTED.c.create_time)).one()
    assert (found, found.utcoffset()) == (here, timedelta(0))
    assert connection.scalar(text("SELECT create_time FROM sorted")).startswith("2023-12-31 23:30")
    assert Instant.timezone
    assert now().tzinfo is UTC


def test_text_is_kept_and_found_in_lower_case(connection: Connection) -> None:
    """Text in a column of lower case is kept so, and found in whatever case it is asked for."""
    connection.execute(insert(COUNTED), {"email": "Ann@Example.COM", **AUDIT})
    found = connection.scalars(select(COUNTED.c.email).where(COUNTED.c.email == "ANN@example.com"))
    assert found.all() == ["ann@example.com"]


def test_a_document_of_nothing_is_null(connection: Connection) -> None:
    """No document is NULL and not the JSON null."""
    bodies: list[Any] = [None, {"a": []}]
    connection.execute(insert(COUNTED), [{"body": body, **AUDIT} for body in bodies])
    assert list(connection.scalars(text("SELECT body FROM counted ORDER BY id"))) == [None, '{"a": []}']
