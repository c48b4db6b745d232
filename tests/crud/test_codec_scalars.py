"""Codecs of scalars: the ranges of integers, UUIDs, enums by name and by number, and wrappers."""

import enum
import math
import uuid
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    Boolean,
    Double,
    Enum,
    Float,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Uuid,
)
from sqlalchemy.types import TypeEngine

from tablestakes.crud.schema.codec import Codec, codec_for
from tests.crud.invalid_argument import rejected
from tests.crud.specimen import Specimen, column, field, message_of, specimen_pb2

checked = settings(deadline=None, max_examples=100)

PATH = "specimen.field"
LEAST, MOST = -(2**63), 2**63 - 1


def codec(name: str, kind: TypeEngine[Any] | type[TypeEngine[Any]], **options: Any) -> Codec:
    """Return the codec of a specimen's field for a column of a type."""
    return codec_for(field(name), column(kind, **options))


def stored(found: Codec, value: Any) -> Any:
    """Return what the column takes for a value."""
    return found.to_column(value, PATH) if found.to_column else value


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((f"a_{kind}", Integer) for kind in ("int32", "sint32", "sfixed32")),
        *((f"a_{kind}", BigInteger) for kind in ("int32", "uint32", "fixed32", "int64", "sint64", "sfixed64")),
        ("a_int64", BigInteger().with_variant(Integer(), "sqlite")),
        ("flag", Boolean),
        ("data", LargeBinary),
    ],
)
def test_what_every_column_of_its_kind_takes_is_kept_without_a_call(
    name: str, kind: TypeEngine[Any] | type[TypeEngine[Any]]
) -> None:
    """A field whose every value fits its column crosses as it is, with no function in between."""
    assert codec(name, kind) == Codec()


@pytest.mark.parametrize(
    ("name", "kind", "low", "high"),
    [
        ("a_uint64", BigInteger, 0, MOST),
        ("a_fixed64", BigInteger, 0, MOST),
        ("a_int64", Integer, -(2**31), 2**31 - 1),
        ("a_sint64", Integer, -(2**31), 2**31 - 1),
        ("a_sfixed64", Integer, -(2**31), 2**31 - 1),
        ("a_uint32", Integer, 0, 2**31 - 1),
        ("a_fixed32", Integer, 0, 2**31 - 1),
        ("a_uint64", Integer, 0, 2**31 - 1),
        ("a_int32", SmallInteger, -(2**15), 2**15 - 1),
        ("a_uint32", SmallInteger, 0, 2**15 - 1),
    ],
)
def test_an_integer_out_of_its_columns_range_is_refused(
    name: str, kind: type[TypeEngine[Any]], low: int, high: int
) -> None:
    """An integer is kept up to the ends of its column's range, and beyond them it is INVALID_ARGUMENT."""
    found = codec(name, kind)
    assert found.to_message is None
    assert (stored(found, low), stored(found, high)) == (low, high)
    assert rejected(PATH, stored, found, high + 1).reason == "VALUE_OUT_OF_RANGE"
    if low < 0:
        assert rejected(PATH, stored, found, low - 1).reason == "VALUE_OUT_OF_RANGE"


@checked
@given(st.integers(0, 2**64 - 1))
@example(MOST)
@example(MOST + 1)
def test_a_natural_number_is_kept_where_a_column_has_it(value: int) -> None:
    """A uint64 is kept as it is up to the greatest number of a BIGINT, and refused above."""
    found = codec("a_uint64", BigInteger)
    if value <= MOST:
        assert stored(found, value) == value
    else:
        assert rejected(PATH, stored, found, value).reason == "VALUE_OUT_OF_RANGE"


@pytest.mark.parametrize("name", ["a_float", "a_double"])
def test_floating_point_is_kept_but_for_nan(name: str) -> None:
    """A float and a double are kept, also where they are infinite, and NaN is INVALID_ARGUMENT."""
    found = codec(name, Double)
    assert found.to_message is None
    assert stored(found, -math.inf) == -math.inf
    assert rejected(PATH, stored, found, math.nan).reason == "NOT_A_NUMBER"
    assert codec("a_float", Float(24)) is found


@checked
@given(st.uuids())
def test_a_uuid_comes_back_as_it_was_written(value: uuid.UUID) -> None:
    """The text of a UUID is kept as one, and shown in lower case with dashes."""
    found = codec("text", Uuid)
    text = str(value)
    assert stored(found, text) == value
    assert found.to_message is not None
    assert found.to_message(value) == text
    as_text = codec("text", Uuid(as_uuid=False))
    assert as_text.to_message is None
    assert stored(as_text, text) == text


CANONICAL = "0190163d-8694-739b-aea5-966c26f8ad91"


@pytest.mark.parametrize(
    "text",
    [
        CANONICAL.upper(),
        CANONICAL.replace("-", ""),
        f"{{{CANONICAL}}}",
        f"urn:uuid:{CANONICAL}",
        f"{CANONICAL}\n",
        f" {CANONICAL}",
        CANONICAL[:-1],
        CANONICAL.replace("0", "\u0660"),
        "nothing of the kind",
    ],
)
def test_no_other_spelling_of_a_uuid_is_kept(text: str) -> None:
    """Text that is not a UUID in its canonical form is INVALID_ARGUMENT, though Python might read it."""
    assert rejected(PATH, stored, codec("text", Uuid), text).reason == "INVALID_UUID"


def test_no_uuid_is_null_where_a_field_cannot_say_so_itself() -> None:
    """The empty string is NULL for a field without presence and a nullable column, and else INVALID_ARGUMENT."""
    assert stored(codec("text", Uuid), "") is None
    assert rejected(PATH, stored, codec("text", Uuid, nullable=False), "").reason == "INVALID_UUID"
    assert rejected(PATH, stored, codec("maybe", Uuid), "").reason == "INVALID_UUID"
    assert rejected(PATH, stored, codec("w_string", Uuid), message_of("w_string")()).reason == "INVALID_UUID"


NAMES = ["COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_BLUE"]


class Paint(enum.Enum):
    """The colors, for a column of them."""

    COLOR_UNSPECIFIED = "none"
    COLOR_RED = "r"
    COLOR_BLUE = "b"


@pytest.mark.parametrize(
    ("kind", "kept", "given_back"),
    [
        (String(), NAMES, None),
        (String(10), NAMES, None),
        (
            Enum(*NAMES),
            NAMES,
            None,
        ),
        (Enum(Paint), NAMES, list(Paint)),
        (Integer(), [0, 1, 2], None),
        (SmallInteger(), [0, 1, 2], None),
    ],
)
def test_an_enum_is_kept_by_name_or_by_number(
    kind: TypeEngine[Any], kept: list[Any], given_back: list[Any] | None
) -> None:
    """An enum's value is kept as its first name in a column of text, and as its number in one of integers."""
    found = codec("color", kind)
    assert [stored(found, number) for number in (0, 1, 2)] == kept
    shown = [found.to_message(value) if found.to_message else value for value in given_back or kept]
    assert shown == [0, 1, 2]


def test_an_older_name_of_an_enums_value_is_still_read() -> None:
    """Every name of a number that has several is shown as the number."""
    found = codec("color", String())
    assert found.to_message is not None
    assert found.to_message("COLOR_CRIMSON") == specimen_pb2.COLOR_RED


@pytest.mark.parametrize("kind", [String(), Integer(), Enum("COLOR_RED", "COLOR_BLUE")])
@pytest.mark.parametrize("number", [3, -1, 2**31 - 1])
def test_an_unknown_number_of_an_enum_is_refused(kind: TypeEngine[Any], number: int) -> None:
    """A number that the enum does not have is INVALID_ARGUMENT, whether names are kept or numbers."""
    assert rejected(PATH, stored, codec("color", kind), number).reason == "UNKNOWN_ENUM_VALUE"


def test_a_value_that_its_column_has_no_label_for_is_refused() -> None:
    """The zero value of an enum is INVALID_ARGUMENT for a column whose own labels leave it out."""
    found = codec("color", Enum("COLOR_RED", "COLOR_BLUE"))
    assert rejected(PATH, stored, found, 0).reason == "UNKNOWN_ENUM_VALUE"


def test_text_in_a_column_of_labels_is_one_of_them() -> None:
    """A string is kept in a column of labels where it is one, and is INVALID_ARGUMENT where it is none."""
    found = codec("text", Enum("small", "large"))
    assert stored(found, "small") == "small"
    assert rejected(PATH, stored, found, "huge").reason == "UNKNOWN_VALUE"


@pytest.mark.parametrize(
    ("name", "kind", "value", "kept"),
    [
        ("w_string", String(), "text", "text"),
        ("w_string", String(), "", ""),
        ("w_string", Uuid(), CANONICAL, uuid.UUID(CANONICAL)),
        ("w_bytes", LargeBinary(), b"\0\1", b"\0\1"),
        ("w_bool", Boolean(), False, False),
        ("w_int32", Integer(), 0, 0),
        ("w_int64", BigInteger(), LEAST, LEAST),
        ("w_uint32", BigInteger(), 2**32 - 1, 2**32 - 1),
        ("w_uint64", BigInteger(), MOST, MOST),
        ("w_float", Float(), 0.5, 0.5),
        ("w_double", Double(), 0.1, 0.1),
    ],
)
def test_a_wrapper_is_kept_as_what_it_wraps(name: str, kind: TypeEngine[Any], value: Any, kept: Any) -> None:
    """A wrapper is kept as its value, zero too, and comes back as a wrapper of it."""
    found = codec(name, kind)
    message = message_of(name)(value=value)
    assert stored(found, message) == kept
    assert found.to_message is not None
    assert Specimen(**{name: found.to_message(kept)}) == Specimen(**{name: message})


@pytest.mark.parametrize(
    ("name", "kind", "value", "reason"),
    [
        ("w_string", String(), "a\0", "NUL_CHARACTER"),
        ("w_uint64", BigInteger(), MOST + 1, "VALUE_OUT_OF_RANGE"),
        ("w_int64", Integer(), 2**31, "VALUE_OUT_OF_RANGE"),
        ("w_double", Double(), math.nan, "NOT_A_NUMBER"),
    ],
)
def test_a_wrapper_is_refused_as_what_it_wraps(name: str, kind: TypeEngine[Any], value: Any, reason: str) -> None:
    """A wrapper of a value that no column takes is INVALID_ARGUMENT on the wrapper's own path."""
    assert rejected(PATH, stored, codec(name, kind), message_of(name)(value=value)).reason == reason
