"""Codecs against real databases: what is written there is what is read."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf import struct_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Double,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    String,
    Table,
    Time,
    Uuid,
    create_engine,
    insert,
    select,
    text,
)
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.types import TypeEngine

from tablestakes.columns import Document, FixedDecimal, Instant
from tablestakes.crud.schema.codec import Codec, codec_for
from tests.crud.specimen import Part, Specimen, field, message_of

EXAMPLES = 20
MICRO = 1000
MOST = 2**63 - 1
FARTHEST = datetime.max - datetime(1970, 1, 1)  # noqa: DTZ001, DTZ901 - how far SQLite's durations reach

Kind = TypeEngine[Any] | type[TypeEngine[Any]]

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
# Not -0.0, which is 0 in PostgreSQL's JSON.
FLOAT = st.floats(allow_nan=False, width=32).map(lambda number: number + 0.0)
DOUBLE = st.floats(allow_nan=False).map(lambda number: number + 0.0)
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), MOST)
UINT32 = st.integers(0, 2**32 - 1)
UINT64 = st.integers(0, MOST)
COLOR = st.sampled_from([0, 1, 2])
UUID_TEXT = st.uuids().map(str)


def _timestamp(unit: int) -> st.SearchStrategy[Timestamp]:
    seconds, parts = st.integers(-62_135_596_800, 253_402_300_799), st.integers(0, 10**9 // unit - 1)
    return st.builds(lambda whole, part: Timestamp(seconds=whole, nanos=part * unit), seconds, parts)


def _duration(value: timedelta) -> Duration:
    found = Duration()
    found.FromTimedelta(value)
    return found


def _value(plain: Any) -> struct_pb2.Value:
    values = struct_pb2.ListValue()
    values.extend([plain])
    return values.values[0]


DURATION = st.timedeltas(-timedelta(days=365 * 1900), FARTHEST).map(_duration)
FINITE = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
VALUE = st.recursive(
    st.booleans() | FINITE | TEXT,
    lambda inside: st.lists(inside | st.none(), max_size=3) | st.dictionaries(TEXT, inside | st.none(), max_size=3),
    max_leaves=5,
).map(_value)
MONEY = st.builds(
    lambda code, units: message_of("money")(currency_code=code, units=units), st.sampled_from(["EUR", "USD"]), INT64
)


def _parts(inside: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    nested = {"part": inside, "parts": st.lists(inside, max_size=2)}
    nested["by_name"] = st.dictionaries(TEXT, inside, max_size=2)
    return st.fixed_dictionaries({}, optional=nested).map(lambda chosen: Part(**chosen))


PART = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "text": TEXT,
            "color": COLOR,
            "count": INT64,
            "size": DOUBLE,
            # Nor the greatest float, which protobuf's JSON cannot read again.
            "ratio": FLOAT.filter(lambda number: math.isinf(number) or abs(number) < 3.4028234e38),
            "data": st.binary(max_size=5),
            "flag": st.booleans(),
            "time": _timestamp(1),
            "lasts": DURATION,
            "value": VALUE,
            "money": MONEY,
            "texts": st.lists(TEXT, max_size=3),
            "labels": st.dictionaries(TEXT, TEXT, max_size=3),
            "colors": st.lists(COLOR, max_size=3),
        },
    ).map(lambda chosen: Part(**chosen)),
    _parts,
    max_leaves=3,
)


def _wrapped(name: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return values.map(lambda value: message_of(name)(value=value))


def _decimal(units: int) -> Any:
    return message_of("decimal")(value=format(Decimal(units).scaleb(-4), "f"))


FIELDS: dict[str, tuple[Kind, st.SearchStrategy[Any]]] = {
    "text": (String, TEXT),
    "maybe": (Uuid, UUID_TEXT),
    "data": (LargeBinary, st.binary(max_size=8)),
    "flag": (Boolean, st.booleans()),
    "a_int32": (Integer, INT32),
    "a_sint32": (Integer, INT32),
    "a_sfixed32": (Integer, INT32),
    "a_uint32": (BigInteger, UINT32),
    "a_fixed32": (BigInteger, UINT32),
    "a_int64": (BigInteger, INT64),
    "a_sint64": (BigInteger, INT64),
    "a_sfixed64": (BigInteger, INT64),
    "a_uint64": (BigInteger, UINT64),
    "a_fixed64": (BigInteger, UINT64),
    "a_float": (Float, FLOAT),
    "a_double": (Double, DOUBLE),
    "color": (Enum("COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_BLUE", name="color"), COLOR),
    "far": (Integer, st.sampled_from([0, 70_000])),
    "time": (Instant, _timestamp(MICRO)),
    "lasts": (Interval, DURATION),
    "date": (Date, st.dates().map(lambda day: message_of("date")(year=day.year, month=day.month, day=day.day))),
    "clock": (
        Time,
        st.times().map(
            lambda time: message_of("clock")(
                hours=time.hour, minutes=time.minute, seconds=time.second, nanos=time.microsecond * MICRO
            )
        ),
    ),
    "decimal": (FixedDecimal(18, 4), st.integers(-(10**18) + 1, 10**18 - 1).map(_decimal)),
    "money": (Document, MONEY),
    "struct": (
        Document,
        st.dictionaries(TEXT, VALUE, max_size=3).map(lambda fields: struct_pb2.Struct(fields=fields)),
    ),
    "value": (Document, VALUE),
    "list": (Document, st.lists(VALUE, max_size=3).map(lambda values: struct_pb2.ListValue(values=values))),
    "part": (Document, PART),
    "w_string": (String, _wrapped("w_string", TEXT)),
    "w_bytes": (LargeBinary, _wrapped("w_bytes", st.binary(max_size=5))),
    "w_bool": (Boolean, _wrapped("w_bool", st.booleans())),
    "w_int32": (Integer, _wrapped("w_int32", INT32)),
    "w_int64": (BigInteger, _wrapped("w_int64", INT64)),
    "w_uint32": (BigInteger, _wrapped("w_uint32", UINT32)),
    "w_uint64": (BigInteger, _wrapped("w_uint64", UINT64)),
    "w_float": (Float, _wrapped("w_float", FLOAT)),
    "w_double": (Double, _wrapped("w_double", DOUBLE)),
    "texts": (Document, st.lists(TEXT, max_size=3)),
    "numbers": (Document, st.lists(INT64, max_size=3)),
    "naturals": (Document, st.lists(st.integers(0, 2**64 - 1), max_size=3)),
    "sizes": (Document, st.lists(DOUBLE, max_size=3)),
    "flags": (Document, st.lists(st.booleans(), max_size=3)),
    "datas": (Document, st.lists(st.binary(max_size=5), max_size=3)),
    "colors": (Document, st.lists(COLOR, max_size=3)),
    "parts": (Document, st.lists(PART, max_size=2)),
    "times": (Document, st.lists(_timestamp(1), max_size=3)),
    "values": (Document, st.lists(VALUE, max_size=2)),
    "labels": (Document, st.dictionaries(TEXT, TEXT, max_size=3)),
    "by_number": (Document, st.dictionaries(INT64, PART, max_size=2)),
    "by_flag": (Document, st.dictionaries(st.booleans(), COLOR, max_size=2)),
}

ARRAYS: dict[str, tuple[Kind, st.SearchStrategy[Any]]] = {
    "texts": (ARRAY(String), FIELDS["texts"][1]),
    "numbers": (ARRAY(BigInteger), FIELDS["numbers"][1]),
    "naturals": (ARRAY(BigInteger), st.lists(UINT64, max_size=3)),
    "sizes": (ARRAY(Double), FIELDS["sizes"][1]),
    "flags": (ARRAY(Boolean), FIELDS["flags"][1]),
    "datas": (ARRAY(LargeBinary), FIELDS["datas"][1]),
    "colors": (ARRAY(String), FIELDS["colors"][1]),
    "times": (ARRAY(DateTime(timezone=True)), st.lists(_timestamp(MICRO), max_size=3)),
}


class Shelf:
    """A table with a column for each of some fields, and the specimens in it.

    Attributes:
        table: The table.
        specimens: Makes specimens that the table can keep.
    """

    def __init__(self, name: str, fields: Mapping[str, tuple[Kind, st.SearchStrategy[Any]]]) -> None:
        columns = [Column[Any](each, kind) for each, (kind, _) in fields.items()]
        self.table = Table(name, MetaData(), Column("id", Integer, primary_key=True, autoincrement=False), *columns)
        self.codecs: dict[str, Codec] = {each: codec_for(field(each), self.table.c[each]) for each in fields}
        self.specimens = st.sets(st.sampled_from(list(fields)), min_size=1, max_size=8).flatmap(
            lambda names: st.builds(Specimen, **{each: fields[each][1] for each in sorted(names)})
        )

    def row(self, number: int, specimen: Any) -> dict[str, Any]:
        """Return the row of a specimen."""
        found: dict[str, Any] = {"id": number}
        for name, codec in self.codecs.items():
            if field(name).has_presence and not specimen.HasField(name):
                found[name] = None
            else:
                value = getattr(specimen, name)
                found[name] = codec.to_column(value, name) if codec.to_column else value
        return found

    def specimen(self, row: Mapping[Any, Any]) -> Any:
        """Return the specimen of a row."""
        kept = {name: row[name] for name in self.codecs if row[name] is not None}
        shown = {name: self.codecs[name].to_message for name in kept}
        return Specimen(**{name: convert(kept[name]) if (convert := shown[name]) else kept[name] for name in kept})

    def write(self, connection: Connection, specimens: Iterable[Any]) -> None:
        """Write specimens, numbered from zero."""
        connection.execute(insert(self.table), [self.row(*each) for each in enumerate(specimens)])

    def read(self, connection: Connection) -> list[Any]:
        """Return every specimen, in order."""
        rows = connection.execute(select(self.table).order_by("id")).mappings().all()
        return [self.specimen(row) for row in rows]


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Connection]:
    """A connection to a SQLite in memory."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


SHELF = Shelf("shelf", FIELDS)
FAMILY = Shelf("arrays", ARRAYS)


@settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(st.lists(SHELF.specimens, min_size=1, max_size=3))
def test_a_message_comes_back_from_sqlite(sqlite: Connection, specimens: list[Any]) -> None:
    """Whatever the fields of a message, it is read from SQLite as it was written."""
    with sqlite.begin():
        SHELF.table.drop(sqlite, checkfirst=True)
        SHELF.table.create(sqlite)
        SHELF.write(sqlite, specimens)
        assert SHELF.read(sqlite) == specimens


def some(values: st.SearchStrategy[Any]) -> list[Any]:
    """Return values to write all at once: a driver that waits cannot be called from within an example."""
    found: list[Any] = []

    @settings(deadline=None, max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(values)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found


def full(fields: Mapping[str, tuple[Kind, st.SearchStrategy[Any]]]) -> list[Any]:
    """Return specimens with every field set, for one that is drawn as a whole has but a few."""
    values = {name: itertools.cycle(some(strategy)) for name, (_, strategy) in fields.items()}
    return [Specimen(**{name: next(each) for name, each in values.items()}) for _ in range(EXAMPLES)]


async def on_postgresql(url: str, work: Callable[[Connection], Any]) -> Any:
    """Run a function in a transaction on PostgreSQL."""
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


@pytest.mark.parametrize(("shelf", "fields"), [(SHELF, FIELDS), (FAMILY, ARRAYS)], ids=["columns", "arrays"])
async def test_a_message_comes_back_from_postgresql(
    postgres_url: str, shelf: Shelf, fields: Mapping[str, tuple[Kind, st.SearchStrategy[Any]]]
) -> None:
    """Whatever the fields of a message, it is read from PostgreSQL as it was written."""
    specimens = full(fields)

    def work(connection: Connection) -> list[Any]:
        shelf.table.metadata.create_all(connection)
        shelf.write(connection, specimens)
        return shelf.read(connection)

    for number, (found, written) in enumerate(zip(await on_postgresql(postgres_url, work), specimens, strict=True)):
        assert found == written, number


def test_a_message_with_every_field_comes_back_from_sqlite(sqlite: Connection) -> None:
    """A message in which every field is set is read from SQLite as it was written."""
    specimens = full(FIELDS)
    with sqlite.begin():
        SHELF.table.drop(sqlite, checkfirst=True)
        SHELF.table.create(sqlite)
        SHELF.write(sqlite, specimens)
        for number, (found, written) in enumerate(zip(SHELF.read(sqlite), specimens, strict=True)):
            assert found == written, number


def test_nothing_is_written_as_null_and_no_items_are_not(sqlite: Connection) -> None:
    """A message that is not set is NULL and not the JSON null, and an empty list or map is an empty one."""
    with sqlite.begin():
        SHELF.table.drop(sqlite, checkfirst=True)
        SHELF.table.create(sqlite)
        SHELF.write(sqlite, [Specimen()])
        kept = sqlite.execute(text("SELECT part, value, w_int32, texts, parts, labels FROM shelf")).one()
    assert tuple(kept) == (None, None, None, "[]", "[]", "{}")
