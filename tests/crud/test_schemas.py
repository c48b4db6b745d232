"""Schemas: between a row and a message, with fields that are not set, NULL and defaults."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from google.protobuf.timestamp_pb2 import Timestamp
from marketplace.v1 import user_pb2
from sqlalchemy import ColumnDefault, MetaData, Table
from sqlalchemy.orm import DeclarativeBase

from marketplace_service import SERVICE
from marketplace_service.api import RESOURCES, user
from tablestakes.crud.query.token import PageTokens
from tablestakes.crud.schema.item_list import ItemList
from tablestakes.crud.schema.name_list import NameList
from tablestakes.crud.schema.schema import Schema, compile_schema, compile_schemas
from tests.crud.invalid_argument import rejected
from tests.gadgets import GADGET, gadget_pb2

USER = compile_schema(user.RESOURCE)
GADGETS = compile_schema(GADGET)
EVERY = compile_schemas(RESOURCES)
POST, ORDER = EVERY["marketplace.v1.Post"], EVERY["marketplace.v1.Order"]
THEN = datetime(2024, 2, 29, 12, 0, 0, 1, UTC)


def row(schema: Schema, **values: Any) -> Any:
    """Return a row as the schema's statements return it, NULL where no value is given."""
    return tuple(values.get(column.name) for column in schema.full.columns)


async def columns(schema: Schema, message: Any) -> dict[str, Any]:
    """Return the values that a message writes, of every field that callers may set."""
    fields = [part for part in schema.fields.values() if part.writable]
    return await schema.values(message, fields, schema.descriptor.name.lower())


def value(schema: Schema, name: str, message: Any) -> Any:
    """Return the value that a message writes of one field."""
    return schema.field(name).value(message, schema.descriptor.name.lower())


def test_null_leaves_a_field_unset() -> None:
    """A row of NULLs is a message of nothing but its name."""
    message = GADGETS.full.to_message(row(GADGETS, id=7))
    assert message == gadget_pb2.Gadget(name="gadgets/7")
    assert [field.name for field, _ in message.ListFields()] == ["name"]


def test_a_zero_in_a_row_is_set_in_the_message() -> None:
    """A zero value in a row is a value: an optional field of the message has it."""
    message = GADGETS.full.to_message(row(GADGETS, id=0, weight=0, note=""))
    assert message.HasField("weight")
    assert message.HasField("note")
    assert not message.HasField("due_time")
    assert message == gadget_pb2.Gadget(name="gadgets/0", weight=0, note="")


def test_a_row_fills_every_field() -> None:
    """Each column's value is in the field of its name."""
    values: dict[str, Any] = {"email": "a@example.com", "username": "ann", "full_name": "Ann", "active": False}
    message = USER.full.to_message(row(USER, id=7, create_time=THEN, update_time=THEN, **values))
    instant = Timestamp(seconds=1_709_208_000, nanos=1000)
    assert message == user_pb2.User(name="users/7", create_time=instant, update_time=instant, **values)


async def test_an_unset_field_without_presence_is_written_as_its_zero_value() -> None:
    """An unset field without presence writes its zero value, and not its column's default."""
    written = await columns(GADGETS, gadget_pb2.Gadget())
    assert {name: written[name] for name in ("label", "series", "level", "ratio", "blob")} == {
        "label": "",
        "series": "",
        "level": 0,
        "ratio": 0.0,
        "blob": b"",
    }


async def test_a_cleared_optional_field_takes_its_columns_default() -> None:
    """An unset optional field writes its column's default where that is a value, and else NULL."""
    assert (await columns(USER, user_pb2.User()))["active"] is True
    written = await columns(GADGETS, gadget_pb2.Gadget())
    assert {written["weight"], written["note"], written["due_time"]} == {None}


async def test_a_default_that_is_computed_is_no_value_to_write() -> None:
    """A cleared field whose column's default is a function has NULL to write, and not the function."""

    class Timed(DeclarativeBase):
        """A base with a table whose note has a default that is made anew for each row."""

    class TimedGadget(Timed):
        """A gadget whose note is computed."""

        __table__ = cast(Table, GADGET.model.__table__).to_metadata(MetaData())

    TimedGadget.__table__.c.note.default = ColumnDefault(lambda: "computed")
    schema = compile_schema(replace(GADGET, model=TimedGadget))
    assert value(schema, "note", gadget_pb2.Gadget()) is None
    assert value(schema, "note", gadget_pb2.Gadget(note="set")) == "set"


async def test_a_set_optional_field_is_written() -> None:
    """A set optional field writes its value, a zero value too."""
    assert (await columns(USER, user_pb2.User(active=False)))["active"] is False
    written = await columns(GADGETS, gadget_pb2.Gadget(weight=0, note="", due_time={}))
    assert (written["weight"], written["note"], written["due_time"]) == (0, "", datetime(1970, 1, 1, tzinfo=UTC))


def test_a_value_that_no_column_takes_is_refused_by_its_path() -> None:
    """The error for a field's value has the path of the message before the field's name."""
    rejected("user.full_name", value, USER, "full_name", user_pb2.User(full_name="\0"))
    rejected("gadget.due_time", value, GADGETS, "due_time", gadget_pb2.Gadget(due_time={"seconds": 2**62}))
    rejected("gadget.twin", value, GADGETS, "twin", gadget_pb2.Gadget(twin="gadgets/x"))


def test_the_constraints_are_known_by_name() -> None:
    """Each named constraint of the table comes with its columns, for errors that the database finds."""
    assert GADGETS.columns_of("uq_gadgets_label_series") == ("label", "series")
    assert GADGETS.columns_of("ck_gadgets_level") == ("level",)
    assert USER.columns_of("ix_users_email") == ("email",)
    assert USER.columns_of("uq_of_no_table") == ()


def test_a_constraint_is_known_by_the_name_of_a_shard_too() -> None:
    """A distributed PostgreSQL adds the number of the shard to a constraint's name, which has the same columns."""
    assert USER.columns_of("ix_users_email_102016") == ("email",)
    assert GADGETS.columns_of("uq_gadgets_label_series_102016") == ("label", "series")
    for name in ("uq_users_email_", "uq_users_email_10x", "uq_users_email_1_2", "102016", ""):
        assert USER.columns_of(name) == (), name


def test_statements_select_the_key_and_the_fields_once_each() -> None:
    """A schema's columns begin with the key, repeat none, and leave out what no response has."""
    names = [column.name for column in GADGETS.full.columns]
    assert names[0] == "id"
    assert len(names) == len(set(names))
    assert set(names) == {"id", "twin_id", *GADGETS.fields} - {"secret", "twin"}


async def test_an_input_only_field_is_written_and_not_read() -> None:
    """An INPUT_ONLY field has a column to write, and a row gives it no value."""
    assert (await columns(GADGETS, gadget_pb2.Gadget(secret="s")))["secret"] == "s"
    assert GADGETS.fields["secret"].writable
    assert [name for name, field in GADGETS.fields.items() if not field.readable] == ["secret"]
    assert "secret" not in [column.name for column in GADGETS.full.columns]


async def test_immutable_fields_are_known() -> None:
    """An IMMUTABLE field may be set, by Create, and is known as one that no Update changes."""
    assert (await columns(GADGETS, gadget_pb2.Gadget(origin="o")))["origin"] == "o"
    assert [name for name, field in GADGETS.fields.items() if field.immutable] == ["origin"]


async def test_a_reference_is_kept_as_the_key_of_what_it_names() -> None:
    """A name in a reference is written as its key, an empty one as NULL, and a key is shown as the name."""
    assert (await columns(GADGETS, gadget_pb2.Gadget(twin="gadgets/7")))["twin_id"] == 7
    assert (await columns(GADGETS, gadget_pb2.Gadget()))["twin_id"] is None
    for key, shown in ((7, "gadgets/7"), (None, "")):
        expected = gadget_pb2.Gadget(name="gadgets/8", twin=shown)
        assert GADGETS.full.to_message(row(GADGETS, id=8, twin_id=key)) == expected


async def test_a_transformed_field_is_written_as_its_transform_returns() -> None:
    """A field with a transform is written as that returns it, and stays NULL where it has no value."""

    async def backwards(text: str) -> str:
        return text[::-1]

    schema = compile_schema(replace(GADGET, transform={"note": backwards, "label": backwards}))
    written = await columns(schema, gadget_pb2.Gadget(label="abc", series="def"))
    assert (written["label"], written["series"], written["note"]) == ("cba", "def", None)


def test_a_repeated_field_is_a_collection() -> None:
    """A repeated field of another table is no field of a column: it is a list of names, or of messages."""
    tags, items = POST.collections["tags"], ORDER.collections["items"]
    assert "tags" not in POST.fields
    assert isinstance(tags, NameList)
    assert tags.reference.names.pattern == "tags/{tag}"
    assert isinstance(items, ItemList)
    assert list(items.fields) == ["product", "quantity", "unit_price_cents"]
    assert [part.name for part in POST.parts] == [
        field.name for field in POST.descriptor.fields if field.name != "name"
    ]
    assert POST.writable == {"author", "title", "content", "tags"}


def test_the_basic_view_lacks_the_costly_fields() -> None:
    """The BASIC view has all columns but those of `full_view_only`; where that is empty it has them all."""
    assert set(POST.full.columns) - set(POST.basic.columns) == {POST.field("content").column}
    assert set(POST.basic.columns) < set(POST.full.columns)
    assert USER.basic.columns == USER.full.columns


def test_the_descendants_are_the_resources_below_but_singletons() -> None:
    """The descendants of a resource are those whose names begin with one of its own, and no singleton is one."""
    descendants = {name: [below.descriptor.name for below in schema.descendants] for name, schema in EVERY.items()}
    assert {name.rpartition(".")[2]: found for name, found in descendants.items() if found} == {
        "User": ["Address"],
        "Post": ["Comment"],
    }


def test_a_schema_and_a_method_are_short_in_a_traceback() -> None:
    """The repr of a schema, and of a method, names it and does not go through every resource of the service."""
    assert repr(USER) == "Schema(marketplace.v1.User)"
    (method,) = (each for each in SERVICE.bind(PageTokens(b"")) if each.name == "GetUser")
    assert repr(method) == "Method(/marketplace.v1.UserService/GetUser)"
