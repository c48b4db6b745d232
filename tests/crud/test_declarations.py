"""Wrong declarations: each is refused at start, by an error that names the culprit and a likely fix."""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from sqlalchemy import Column, Date, DateTime, ForeignKey, Integer, MetaData, String, Table, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeEngine

from protos.generate import generate
from tablestakes import (
    Call,
    DeclarationError,
    Document,
    Instant,
    Method,
    Resource,
    Schema,
    Transition,
    UuidKey,
    Versioned,
    Work,
    bytewise,
)
from tablestakes.crud.bind import bind
from tablestakes.crud.query.token import PageTokens

HEAD = """
syntax = "proto3";
package {package}.v1;
import "google/api/client.proto";
import "google/api/field_behavior.proto";
import "google/api/resource.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/timestamp.proto";
"""
SERVICE = """
service WidgetService {
  rpc GetWidget(GetWidgetRequest) returns (Widget);
  rpc ListWidgets(ListWidgetsRequest) returns (ListWidgetsResponse);
  rpc CreateWidget(CreateWidgetRequest) returns (Widget);
  rpc UpdateWidget(UpdateWidgetRequest) returns (Widget);
  rpc DeleteWidget(DeleteWidgetRequest) returns (google.protobuf.Empty);
}
"""
OPTION = """
  option (google.api.resource) = {
    type: "widget.example.com/Widget"
    pattern: "widgets/{widget}"
    singular: "widget"
    plural: "widgets"
  };
"""
MESSAGES = """
message Widget {
  OPTION
  string name = 1 [(google.api.field_behavior) = IDENTIFIER];
  string label = 2;
  int64 size = 3;
}
message GetWidgetRequest { string name = 1; }
message ListWidgetsRequest {
  int32 page_size = 1;
  string page_token = 2;
}
message ListWidgetsResponse {
  repeated Widget widgets = 1;
  string next_page_token = 2;
}
message CreateWidgetRequest { Widget widget = 1; }
message UpdateWidgetRequest {
  Widget widget = 1;
  google.protobuf.FieldMask update_mask = 2;
}
message DeleteWidgetRequest { string name = 1; }
""".replace("OPTION", OPTION)
RIGHT = SERVICE + MESSAGES

NESTED = ("widgets/{widget}", "racks/{rack}/widgets/{widget}")
LIST_REQUEST = "message ListWidgetsRequest {\n"
ITEMS = ("string label = 2;", "message Part { int64 number = 1; }\n  repeated Part label = 2;")
STATE = (
    "string label",
    "enum State { STATE_UNSPECIFIED = 0; OLD = 1; OLDER = 2; NEW = 3; }\n  State state",
)
REFERENCE = '[(google.api.resource_reference).type = "widget.example.com/Widget"]'

# The mistake of each package: pairs of a text of the right one and the text that replaces it.
PACKAGES: dict[str, tuple[str, ...]] = {
    "right": ("", ""),
    "right_too": ("", ""),
    "misspelt_field": ("string label", "string lable"),
    "strange_field": ("string label", "string zzz"),
    "wrong_type": ("string label", "int32 label"),
    "repeated_field": ("string label", "repeated string label"),
    "message_field": ("string label", "google.protobuf.FieldMask label"),
    "no_resource": (OPTION, ""),
    "no_variable": ("widgets/{widget}", "widgets"),
    "wildcard": ("widgets/{widget}", "widgets/{widget=**}"),
    "capital": ("widgets/{widget}", "racks/{Rack}/widgets/{widget}"),
    "no_name_in_braces": ("widgets/{widget}", "{}/widgets/{widget}"),
    "open_brace": ("widgets/{widget}", "widgets/{widget}/{rack"),
    "no_column": ("widgets/{widget}", "racks/{rak}/widgets/{widget}"),
    "no_identifier": (" [(google.api.field_behavior) = IDENTIFIER]", ""),
    "two_identifiers": ("string label = 2;", "string label = 2 [(google.api.field_behavior) = IDENTIFIER];"),
    "identifier_elsewhere": (
        "string name = 1 [(google.api.field_behavior) = IDENTIFIER];\n  string label = 2",
        "string name = 1;\n  string label = 2 [(google.api.field_behavior) = IDENTIFIER]",
    ),
    "identifier_of_bytes": ("string name = 1 [", "bytes name = 1 ["),
    "no_plural": ('plural: "widgets"', ""),
    "misspelt_rpc": ("rpc GetWidget(", "rpc GetWidgte("),
    "strange_rpc": ("rpc GetWidget(", "rpc Xyzzy("),
    "strange_too": ("rpc GetWidget(", "rpc Xyzzy("),
    "misspelt_list": ("rpc ListWidgets(", "rpc ListWidgts("),
    "other_plural": ('plural: "widgets"', 'plural: "widgetry"'),
    "no_service": (SERVICE, ""),
    "apart": ("", ""),
    "misspelt_apart": ("rpc GetWidget(", "rpc GetWidgte("),
    "client_streams": ("rpc GetWidget(GetWidgetRequest)", "rpc GetWidget(stream GetWidgetRequest)"),
    "server_streams": ("(GetWidgetRequest) returns (Widget)", "(GetWidgetRequest) returns (stream Widget)"),
    "get_returns_another": (
        "(GetWidgetRequest) returns (Widget)",
        "(GetWidgetRequest) returns (ListWidgetsResponse)",
    ),
    "create_returns_nothing": (
        "(CreateWidgetRequest) returns (Widget)",
        "(CreateWidgetRequest) returns (google.protobuf.Empty)",
    ),
    "update_returns_its_request": (
        "(UpdateWidgetRequest) returns (Widget)",
        "(UpdateWidgetRequest) returns (UpdateWidgetRequest)",
    ),
    "delete_returns_widget": (
        "(DeleteWidgetRequest) returns (google.protobuf.Empty)",
        "(DeleteWidgetRequest) returns (Widget)",
    ),
    "get_by_number": ("message GetWidgetRequest { string name", "message GetWidgetRequest { int64 name"),
    "get_by_names": ("message GetWidgetRequest { string name", "message GetWidgetRequest { repeated string name"),
    "delete_by_message": ("message DeleteWidgetRequest { string name", "message DeleteWidgetRequest { Widget name"),
    "list_of_long_pages": ("int32 page_size", "int64 page_size"),
    "list_by_bytes": ("string page_token", "bytes page_token"),
    "list_of_many_tokens": ("string next_page_token", "repeated string next_page_token"),
    "list_of_one": ("repeated Widget widgets", "Widget widgets"),
    "create_of_many": ("message CreateWidgetRequest { Widget", "message CreateWidgetRequest { repeated Widget"),
    "update_by_text": ("google.protobuf.FieldMask update_mask", "string update_mask"),
    "update_by_masks": ("google.protobuf.FieldMask update_mask", "repeated google.protobuf.FieldMask update_mask"),
    "get_without_name": ("message GetWidgetRequest { string name", "message GetWidgetRequest { string nam"),
    "list_without_page_size": ("page_size", "page_sise"),
    "list_without_page_token": ("string page_token", "string page_tokn"),
    "list_without_next_page_token": ("next_page_token", "page_token"),
    "list_without_widgets": ("repeated Widget", "repeated string"),
    "create_without_widget": ("message CreateWidgetRequest { Widget", "message CreateWidgetRequest { string"),
    "update_without_widget": ("UpdateWidgetRequest {\n  Widget", "UpdateWidgetRequest {\n  string"),
    "update_without_mask": ("FieldMask update_mask", "FieldMask updat_mask"),
    "state": STATE,
    "text_state": ("string label", "string state"),
    "stamped": (*STATE, "int64 size = 3;", "int64 size = 3;\n  google.protobuf.Timestamp stamp_time = 4;"),
    "number_of_items": ("string label = 2;", "repeated int64 label = 2;"),
    "items": ITEMS,
    "misspelt_items": (ITEMS[0], ITEMS[1].replace("number", "nubmer")),
    "fixed_items": (ITEMS[0], f"{ITEMS[1][:-1]} [(google.api.field_behavior) = IMMUTABLE];"),
    "read_only_items": (ITEMS[0], f"{ITEMS[1][:-1]} [(google.api.field_behavior) = OUTPUT_ONLY];"),
    "names": ("string label = 2;", f"repeated string label = 2 {REFERENCE};"),
    "fixed_names": (
        "string label = 2;",
        f"repeated string label = 2 {REFERENCE[:-1]}, (google.api.field_behavior) = IMMUTABLE];",
    ),
    "unserved_reference": ("string label = 2;", f"string label = 2 {REFERENCE.replace('/Widget', '/Wigdet')};"),
    "nested_reference": (*NESTED, "string label = 2;", f"string label = 2 {REFERENCE};"),
    "nested": (*NESTED,),
    "nested_create": (*NESTED, LIST_REQUEST, f"{LIST_REQUEST}  string parent = 3;\n"),
    "nested_by_number": (*NESTED, LIST_REQUEST, f"{LIST_REQUEST}  int64 parent = 3;\n"),
    "nested_right": (
        *(*NESTED, LIST_REQUEST, f"{LIST_REQUEST}  string parent = 3;\n"),
        *("message CreateWidgetRequest {", "message CreateWidgetRequest { string parent = 2;"),
    ),
    "id_by_number": (
        "message CreateWidgetRequest {",
        "message CreateWidgetRequest { int64 widget_id = 2;",
    ),
    "force_by_text": ("message DeleteWidgetRequest {", "message DeleteWidgetRequest { string force = 2;"),
    "settable_create_time": ("int64 size = 3;", "int64 size = 3;\n  google.protobuf.Timestamp create_time = 4;"),
    "create_time": (
        "int64 size = 3;",
        "int64 size = 3;\n  google.protobuf.Timestamp create_time = 4 [(google.api.field_behavior) = OUTPUT_ONLY];",
    ),
    "validate_by_text": (
        "message CreateWidgetRequest {",
        "message CreateWidgetRequest { string validate_only = 2;",
    ),
    "delete_without_name": ("message DeleteWidgetRequest { string name", "message DeleteWidgetRequest { string id"),
}

PACKAGES |= {
    "etag": ("string label = 2;", "string label = 2;\n  string etag = 9;"),
    "etag_by_number": ("string label = 2;", "string label = 2;\n  int64 etag = 9;"),
    "etag_of_request": ("message DeleteWidgetRequest {", "message DeleteWidgetRequest { string etag = 9;"),
    "etag_of_get": ("message GetWidgetRequest {", "message GetWidgetRequest { string etag = 9;"),
    "etag_of_update": ("message UpdateWidgetRequest {", "message UpdateWidgetRequest { string etag = 9;"),
    "show_deleted_of_list": ("message ListWidgetsRequest {", "message ListWidgetsRequest { bool show_deleted = 9;"),
    "upsert": ("message UpdateWidgetRequest {", "message UpdateWidgetRequest { bool allow_missing = 9;"),
}

# The packages whose service stands in a file of its own.
APART = {"apart", "misspelt_apart"}

# Fields that the AIPs define and not every standard method serves, each with the method whose request has it.
UNSERVED = {
    "allow_missing": ("Create", "bool allow_missing"),
    "filter": ("Get", "string filter"),
    "order_by": ("Get", "string order_by"),
    "read_mask": ("Update", "google.protobuf.FieldMask read_mask"),
    "skip": ("Get", "int32 skip"),
    "return_partial_success": ("List", "bool return_partial_success"),
}


def request_of(verb: str) -> str:
    """Return the name of a standard method's request."""
    return f"{verb}Widget{'s' * (verb == 'List')}Request"


PACKAGES |= {
    f"with_{name}": (
        f"message {request_of(verb)} {{",
        f"message {request_of(verb)} {{ {field} = 9;",
    )
    for name, (verb, field) in UNSERVED.items()
}


class Apart(DeclarativeBase):
    """Models that never join those of the service."""

    metadata = MetaData()


class Counted(Versioned, Apart):
    """A table that keeps versions."""

    __tablename__ = "counted_widgets"

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str]
    size: Mapped[int]


class Widget(Apart):
    """A table for every package's Widget."""

    __tablename__ = "widgets"

    id: Mapped[int] = mapped_column(primary_key=True)
    rack_id: Mapped[int] = mapped_column(default=0)
    label: Mapped[str]
    size: Mapped[int]


class Named(Apart):
    """A table with a column for every field of Widget, its name too."""

    __tablename__ = "named_widgets"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(default="")
    label: Mapped[str]
    size: Mapped[int]


class Composite(Apart):
    """A table whose rows have a key of two columns."""

    __tablename__ = "composite_widgets"

    rack_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str]
    size: Mapped[int]


class Dated(Apart):
    """A table whose key is an instant."""

    __tablename__ = "dated_widgets"

    id: Mapped[datetime] = mapped_column(primary_key=True)
    label: Mapped[str]
    size: Mapped[int]


class Lettered(Apart):
    """A table whose key is text."""

    __tablename__ = "lettered_widgets"

    id: Mapped[str] = mapped_column(bytewise(63), primary_key=True)
    label: Mapped[str]
    size: Mapped[int]


class Collated(Apart):
    """A table whose key is text in the order of the database's own language."""

    __tablename__ = "collated_widgets"

    id: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str]
    size: Mapped[int]


class Unique(Apart):
    """A table whose key is a UUID."""

    __tablename__ = "unique_widgets"

    id: Mapped[UuidKey]
    label: Mapped[str]
    size: Mapped[int]


class Stateful(Apart):
    """A table with a state."""

    __tablename__ = "stateful_widgets"

    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]
    size: Mapped[int]
    stamp_time: Mapped[datetime | None] = mapped_column(Instant)


class Labelled(Apart):
    """A table whose labels are rows of another."""

    __tablename__ = "labelled_widgets"

    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int]
    label: Mapped[list["Label"]] = relationship(lazy="raise")


class Label(Apart):
    """A row for each label of a widget."""

    __tablename__ = "labels"

    id: Mapped[int] = mapped_column(primary_key=True)
    widget_id: Mapped[int] = mapped_column(ForeignKey(Labelled.id))
    number: Mapped[int]


class Priced(Apart):
    """A table whose labels need a price, which no field of theirs sets."""

    __tablename__ = "priced_widgets"

    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int]
    label: Mapped[list["PricedLabel"]] = relationship(lazy="raise")


class PricedLabel(Apart):
    """A row for each label of a widget, with a price."""

    __tablename__ = "priced_labels"

    id: Mapped[int] = mapped_column(primary_key=True)
    widget_id: Mapped[int] = mapped_column(ForeignKey(Priced.id))
    number: Mapped[int]
    price: Mapped[int]


between = Table(
    "between",
    Apart.metadata,
    Column("one_id", ForeignKey("linked_widgets.id"), primary_key=True),
    Column("other_id", ForeignKey("linked_widgets.id"), primary_key=True),
)


class Linked(Apart):
    """A table whose rows refer to each other, many to many."""

    __tablename__ = "linked_widgets"

    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int]
    label: Mapped[list["Linked"]] = relationship(
        secondary=between,
        primaryjoin="Linked.id == between.c.one_id",
        secondaryjoin="Linked.id == between.c.other_id",
        lazy="raise",
        viewonly=True,
    )


class Bare(Apart):
    """A table without labels of any kind."""

    __tablename__ = "bare_widgets"

    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int]


class Documented(Apart):
    """A table whose labels are JSON."""

    __tablename__ = "documented_widgets"

    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int]
    label: Mapped[list[Any]] = mapped_column(Document)


class Unfilled(Apart):
    """A table with columns that no field fills: two have no value, and each of the others has one by itself."""

    __tablename__ = "unfilled_widgets"

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str]
    size: Mapped[int]
    color: Mapped[str]
    shape: Mapped[str]
    note: Mapped[str | None]
    made: Mapped[str] = mapped_column(default="here")
    kept: Mapped[str] = mapped_column(server_default="there")


class Unmapped(Apart):
    """A class that is mapped to nothing."""

    __abstract__ = True


class Selected(Apart):
    """A class that is mapped to a query, which has no columns to write."""

    __table__ = select(Widget.__table__).subquery()
    __mapper_args__ = {"primary_key": [__table__.c.id]}  # noqa: RUF012 - SQLAlchemy declares it so


Widgets = Callable[[str], type[Message]]


@pytest.fixture(scope="module")
def widgets(tmp_path_factory: pytest.TempPathFactory) -> Widgets:
    """Every package, compiled: the Widget of each, by the package's name."""
    protos, stubs = tmp_path_factory.mktemp("protos"), tmp_path_factory.mktemp("stubs")
    for package, replaced in PACKAGES.items():
        text = RIGHT
        for part, by in zip(replaced[::2], replaced[1::2], strict=True):
            assert part in text
            text = text.replace(part, by) if part else text
        folder = Path(protos, package, "v1")
        folder.mkdir(parents=True)
        head, resource = HEAD.format(package=package), text
        if package in APART:
            # The resource alone, as most published APIs have it: the service imports it, and it nothing of that.
            service, message = text.split("message Widget {", 1)
            resource, _, requests = message.partition("message GetWidgetRequest")
            resource = f"message Widget {{{resource}"
            imported = f'import "{package}/v1/widget.proto";\n'
            service = f"{head}{imported}{service}message GetWidgetRequest{requests}"
            (folder / "widget_service.proto").write_text(service)
        (folder / "widget.proto").write_text(head + resource)
    generate(protos, stubs)
    sys.path.append(str(stubs))
    try:
        found = {package: importlib.import_module(f"{package}.v1.widget_pb2").Widget for package in PACKAGES}
    finally:
        sys.path.remove(str(stubs))
    return found.__getitem__


async def serve_nothing(_schema: Schema, _call: Call[Any]) -> Work[Message]:
    """Stand for a function of a resource's own."""
    raise NotImplementedError


def bound(*resources: Resource) -> list[Method]:
    """Return the methods of resources."""
    return bind(resources, PageTokens(b"key"))


def refusal(
    message: type[Message],
    model: type[DeclarativeBase] = Widget,
    options: Mapping[str, Any] | None = None,
    **methods: Any,
) -> str:
    """Return the text of the error for a declaration that must be refused."""
    with pytest.raises(DeclarationError) as caught:
        bound(Resource(message=message, model=model, methods=methods, **(options or {})))
    return str(caught.value)


def own(methods: Iterable[Method]) -> list[str]:
    """Return the names of the RPCs that are served by a function of their resource's own."""
    return [
        f"{method.service}.{method.name}" for method in methods if method.served_by == f"{__name__}.serve_nothing"
    ]


def test_a_right_declaration_is_served(widgets: Widgets) -> None:
    """The declaration that each wrong one here differs from is bound, every RPC to its verb."""
    methods = bound(Resource(message=widgets("right"), model=Widget))
    assert {method.name: method.served_by for method in methods} == {
        "GetWidget": "get",
        "ListWidgets": "list",
        "CreateWidget": "create",
        "UpdateWidget": "update",
        "DeleteWidget": "delete",
    }


def test_a_misspelt_field_is_named_with_the_column_that_it_resembles(widgets: Widgets) -> None:
    """A field without a column is named, with the column whose name is nearest."""
    assert refusal(widgets("misspelt_field")) == (
        "misspelt_field.v1.Widget.lable needs a column lable in the table widgets; did you mean label?"
    )


def test_a_field_like_no_column_is_named_with_every_column(widgets: Widgets) -> None:
    """A field without a column that resembles none is named, with every column of the table."""
    assert refusal(widgets("strange_field")) == (
        "strange_field.v1.Widget.zzz needs a column zzz in the table widgets; there are: id, label, rack_id, size"
    )


@pytest.mark.parametrize(
    ("package", "kind", "fix"),
    [
        ("wrong_type", "int32", "use Integer"),
        ("message_field", "google.protobuf.FieldMask", "use tablestakes.Document"),
    ],
)
def test_a_field_of_another_type_is_named_with_its_column(
    widgets: Widgets, package: str, kind: str, fix: str
) -> None:
    """A field whose type its column cannot keep is named, and so is the column with its type and a likely fix."""
    assert refusal(widgets(package)) == (
        f"{package}.v1.Widget.label cannot be kept in the column widgets.label:"
        f" no codec between {kind} and String(); {fix}"
    )


def test_a_message_that_is_no_resource_is_named(widgets: Widgets) -> None:
    """A message without the resource option is told which option it lacks."""
    assert refusal(widgets("no_resource")) == (
        "no_resource.v1.Widget has no google.api.resource option with a pattern"
    )


def test_a_pattern_without_a_variable_is_named(widgets: Widgets) -> None:
    """A pattern in which nothing varies, and so could name one row only, is refused."""
    assert refusal(widgets("no_variable")) == (
        "no_variable.v1.Widget: widgets is not a pattern of literals and {variables}"
    )


@pytest.mark.parametrize(
    ("package", "pattern"),
    [
        ("wildcard", "widgets/{widget=**}"),
        ("capital", "racks/{Rack}/widgets/{widget}"),
        ("no_name_in_braces", "{}/widgets/{widget}"),
        ("open_brace", "widgets/{widget}/{rack"),
    ],
)
def test_braces_that_hold_no_variable_are_refused(widgets: Widgets, package: str, pattern: str) -> None:
    """A pattern with braces around anything but a variable, or around nothing, is refused."""
    error = refusal(widgets(package))
    assert error == f"{package}.v1.Widget: {pattern} is not a pattern of literals and {{variables}}"


def test_a_key_of_two_columns_is_named_by_its_table(widgets: Widgets) -> None:
    """A table whose primary key has two columns, where a name has one variable for it, is refused."""
    assert refusal(widgets("right"), Composite) == (
        "right.v1.Widget: the table composite_widgets needs a primary key of one column"
    )


def test_a_text_key_without_an_order_of_its_own_is_named(widgets: Widgets) -> None:
    """A text key whose order is the database's is refused with its column and the type that has one."""
    assert refusal(widgets("right"), Collated) == (
        "right.v1.Widget: collated_widgets.id would have another order on another database: use"
        " tablestakes.bytewise"
    )


def test_a_key_of_another_type_is_named(widgets: Widgets) -> None:
    """A key that no name can spell is refused with its column, and one of text or a UUID is served."""
    assert (
        refusal(widgets("right"), Dated) == "right.v1.Widget: dated_widgets.id is no integer, no text and no UUID"
    )
    # The database counts no text, and the request has no id: a function must choose one.
    assert bound(Resource(message=widgets("right"), model=Lettered, methods={"CreateWidget": serve_nothing}))
    assert bound(Resource(message=widgets("right"), model=Unique))


def test_a_variable_without_a_column_is_named_with_the_column_that_it_resembles(widgets: Widgets) -> None:
    """A parent's variable without its column is named, with the column that it resembles."""
    assert refusal(widgets("no_column")) == (
        "no_column.v1.Widget: {rak} of the pattern racks/{rak}/widgets/{widget} needs a column rak_id in the"
        " table widgets; did you mean rack_id?"
    )


def test_a_message_without_an_identifier_is_named(widgets: Widgets) -> None:
    """A message in which every field has a column, and so none is the name, is refused."""
    assert refusal(widgets("no_identifier"), Named) == (
        "no_identifier.v1.Widget needs one field with the field_behavior IDENTIFIER, `string name`; it has none"
    )


@pytest.mark.parametrize(
    ("package", "has"),
    [("two_identifiers", "name, label"), ("identifier_elsewhere", "label"), ("identifier_of_bytes", "name")],
)
def test_an_identifier_is_one_string_name(widgets: Widgets, package: str, has: str) -> None:
    """A message with two identifiers, or with one of another name or type, is refused with those that it has."""
    assert refusal(widgets(package), Named) == (
        f"{package}.v1.Widget needs one field with the field_behavior IDENTIFIER, `string name`; it has {has}"
    )


def test_a_resource_without_a_plural_is_named(widgets: Widgets) -> None:
    """A resource that does not say its plural, which the name of its List has, is refused."""
    assert refusal(widgets("no_plural")) == "no_plural.v1.Widget: its google.api.resource option needs a plural"


def test_a_model_without_a_table_of_its_own_is_named(widgets: Widgets) -> None:
    """A model that is mapped to nothing, or to anything but a table, is refused by its own name."""
    for model in (Selected, Unmapped):
        assert refusal(widgets("right"), model) == f"{model.__name__} is not mapped to a table"


def test_a_misspelt_rpc_is_named_with_the_method_that_it_resembles(widgets: Widgets) -> None:
    """An RPC that nothing serves is named, with the standard method whose name is nearest."""
    assert refusal(widgets("misspelt_rpc")) == (
        "nothing serves misspelt_rpc.v1.WidgetService.GetWidgte: it is no standard method of a declared resource,"
        " and no resource has a function for it; did you mean GetWidget?"
    )


def test_an_rpc_like_no_standard_method_is_named_with_every_method(widgets: Widgets) -> None:
    """An RPC that nothing serves and that resembles nothing is named, with what could serve it."""
    error = refusal(widgets("strange_rpc"))
    assert error.startswith("nothing serves strange_rpc.v1.WidgetService.Xyzzy: ")
    assert error.endswith(
        "; there are: BatchCreateWidgets, BatchDeleteWidgets, BatchGetWidgets, BatchUpdateWidgets, CreateWidget,"
        " DeleteWidget, ExportWidgets, GetWidget, ListWidgets, PurgeWidgets, UndeleteWidget, UpdateWidget"
    )


def test_a_misspelt_list_is_named_with_its_plural(widgets: Widgets) -> None:
    """A List that is misspelt, or that is not of the resource's plural, is told the name with the plural."""
    assert refusal(widgets("misspelt_list")).endswith("; did you mean ListWidgets?")
    assert refusal(widgets("other_plural")).endswith("; did you mean ListWidgetry?")


def test_a_message_that_is_declared_twice_is_named(widgets: Widgets) -> None:
    """Two resources of one message are refused, for which of them would be served?"""
    with pytest.raises(DeclarationError) as caught:
        bound(*(Resource(message=widgets("right"), model=model) for model in (Widget, Named)))
    assert str(caught.value) == "right.v1.Widget is declared twice"


@pytest.mark.parametrize("order", [1, -1])
def test_each_package_serves_its_own(widgets: Widgets, order: int) -> None:
    """Messages and methods of the same names in two packages are served each from its own resource and table."""
    both = [
        Resource(message=widgets("right"), model=Widget),
        Resource(message=widgets("right_too"), model=Named, methods={"GetWidget": serve_nothing}),
    ]
    methods = bound(*both[::order])
    assert len(methods) == 10
    for method in methods:
        package = method.service.partition(".")[0]
        assert method.schema.descriptor.full_name == f"{package}.v1.Widget"
        assert method.schema.table.name == {"right": "widgets", "right_too": "named_widgets"}[package]
    assert own(methods) == ["right_too.v1.WidgetService.GetWidget"]


def test_another_package_serves_nothing_here(widgets: Widgets) -> None:
    """An RPC that only another package's resource has a function for is refused, without that one's names."""
    other = Resource(message=widgets("strange_rpc"), model=Widget, methods={"Xyzzy": serve_nothing})
    with pytest.raises(DeclarationError) as caught:
        bound(other, Resource(message=widgets("strange_too"), model=Widget))
    assert str(caught.value).startswith("nothing serves strange_too.v1.WidgetService.Xyzzy: ")
    with pytest.raises(DeclarationError) as caught:
        bound(other, Resource(message=widgets("right"), model=Widget, methods={"Xyzzy": serve_nothing}))
    assert str(caught.value).startswith("right.v1.Widget has a function for Xyzzy, which is no RPC; there are: ")


def test_a_method_whose_callers_stream_is_named(widgets: Widgets) -> None:
    """A method that takes a stream is refused, also where a function would serve it."""
    error = "client_streams.v1.WidgetService.GetWidget has a stream of requests, and only one request is served"
    assert refusal(widgets("client_streams")) == error
    assert refusal(widgets("client_streams"), GetWidget=serve_nothing) == error


def test_a_standard_method_that_should_not_stream_is_named(widgets: Widgets) -> None:
    """A Get that returns a stream is refused, unless a function serves it."""
    assert refusal(widgets("server_streams")) == (
        "server_streams.v1.WidgetService.GetWidget must return one message, as its standard method does"
    )
    methods = {"GetWidget": serve_nothing}
    (streams,) = (
        each
        for each in bound(Resource(message=widgets("server_streams"), model=Widget, methods=methods))
        if each.streams
    )
    assert (streams.name, streams.reads) == ("GetWidget", True)


def test_a_function_serves_an_rpc_that_is_not_standard(widgets: Widgets) -> None:
    """An RPC that is no standard method is served by the function declared for it, by that function's name."""
    methods = bound(Resource(message=widgets("strange_rpc"), model=Widget, methods={"Xyzzy": serve_nothing}))
    assert {method.name: method.served_by for method in methods}["Xyzzy"] == f"{__name__}.serve_nothing"


def test_a_function_goes_before_the_standard_method(widgets: Widgets) -> None:
    """A function that is declared for a standard method serves it, and the other methods stay as they are."""
    methods = bound(Resource(message=widgets("right"), model=Widget, methods={"GetWidget": serve_nothing}))
    assert own(methods) == ["right.v1.WidgetService.GetWidget"]


def test_a_function_for_no_rpc_is_named_with_the_rpc_that_it_resembles(widgets: Widgets) -> None:
    """A function for an RPC that no service has is refused by that name, with the RPC whose name is nearest."""
    assert refusal(widgets("right"), GetWidgte=serve_nothing) == (
        "right.v1.Widget has a function for GetWidgte, which is no RPC; did you mean GetWidget?"
    )


def test_a_resource_that_nothing_serves_is_named(widgets: Widgets) -> None:
    """A resource in whose file no service has an RPC for it is refused."""
    assert refusal(widgets("no_service")) == "no RPC serves no_service.v1.Widget"


@pytest.mark.parametrize(
    ("package", "error"),
    [
        ("get_without_name", "GetWidgetRequest needs a field name; did you mean nam?"),
        ("delete_without_name", "DeleteWidgetRequest needs a field name; there are: id"),
        ("list_without_page_size", "ListWidgetsRequest needs a field page_size; did you mean page_sise?"),
        ("list_without_page_token", "ListWidgetsRequest needs a field page_token; did you mean page_tokn?"),
        (
            "list_without_next_page_token",
            "ListWidgetsResponse needs a field next_page_token; did you mean page_token?",
        ),
        ("update_without_mask", "UpdateWidgetRequest needs a field update_mask; did you mean updat_mask?"),
    ],
)
def test_a_request_without_a_standard_field_is_named(widgets: Widgets, package: str, error: str) -> None:
    """A standard method whose request or response lacks a standard field is refused, with the nearest there is."""
    assert refusal(widgets(package)) == f"{package}.v1.{error}"


@pytest.mark.parametrize(
    ("package", "lacking", "kind"),
    [
        ("create_without_widget", "CreateWidgetRequest", "Widget"),
        ("create_of_many", "CreateWidgetRequest", "Widget"),
        ("update_without_widget", "UpdateWidgetRequest", "Widget"),
        ("list_without_widgets", "ListWidgetsResponse", "repeated Widget"),
        ("list_of_one", "ListWidgetsResponse", "repeated Widget"),
    ],
)
def test_a_request_without_the_resource_is_named(widgets: Widgets, package: str, lacking: str, kind: str) -> None:
    """A standard method whose message has no field for the resource is refused, with the type that it needs."""
    assert refusal(widgets(package)) == f"{package}.v1.{lacking} needs a field of the type {kind}"


@pytest.mark.parametrize(
    ("package", "field"),
    [
        ("get_by_number", "GetWidgetRequest.name"),
        ("get_by_names", "GetWidgetRequest.name"),
        ("delete_by_message", "DeleteWidgetRequest.name"),
        ("list_of_long_pages", "ListWidgetsRequest.page_size"),
        ("list_by_bytes", "ListWidgetsRequest.page_token"),
        ("list_of_many_tokens", "ListWidgetsResponse.next_page_token"),
        ("update_by_text", "UpdateWidgetRequest.update_mask"),
        ("update_by_masks", "UpdateWidgetRequest.update_mask"),
    ],
)
def test_a_standard_field_of_another_type_is_named(widgets: Widgets, package: str, field: str) -> None:
    """A standard field of another type than a standard method reads or writes, or of many values, is refused."""
    assert refusal(widgets(package)) == f"{package}.v1.{field} is not of the type that a standard method needs"


@pytest.mark.parametrize(
    ("package", "method", "returned", "needed"),
    [
        ("get_returns_another", "GetWidget", "{0}.v1.ListWidgetsResponse", "{0}.v1.Widget"),
        ("create_returns_nothing", "CreateWidget", "google.protobuf.Empty", "{0}.v1.Widget"),
        ("update_returns_its_request", "UpdateWidget", "{0}.v1.UpdateWidgetRequest", "{0}.v1.Widget"),
        ("delete_returns_widget", "DeleteWidget", "{0}.v1.Widget", "google.protobuf.Empty"),
    ],
)
def test_a_response_of_another_type_is_named(
    widgets: Widgets, package: str, method: str, returned: str, needed: str
) -> None:
    """A standard method that returns another message than its verb does is refused, and a function may serve it."""
    error = refusal(widgets(package))
    assert error.startswith(f"{package}.v1.WidgetService.{method} returns {returned.format(package)}, ")
    assert error.endswith(f" {needed.format(package)}")
    assert bound(Resource(message=widgets(package), model=Widget, methods={method: serve_nothing}))


async def test_a_function_is_given_its_resource(widgets: Widgets) -> None:
    """A function that serves an RPC is called with the schema of its resource and the call."""
    given: list[Any] = []

    async def serve(*arguments: Any) -> Work[Message]:
        given.extend(arguments)
        return Work(lambda _: widgets("right")())

    methods = bound(Resource(message=widgets("right"), model=Widget, methods={"GetWidget": serve}))
    (method,) = (method for method in methods if method.name == "GetWidget")
    call = Call("request")
    assert isinstance(await method.serve(call), Work)
    assert isinstance(given[0], Schema)
    assert given[0].message is widgets("right")
    assert given[1:] == [call]


@pytest.mark.parametrize(
    ("package", "kind", "fix"),
    [
        ("repeated_field", "string", "use tablestakes.Document, or ARRAY on PostgreSQL"),
        ("number_of_items", "int64", "use tablestakes.Document, or ARRAY on PostgreSQL"),
        ("items", "items.v1.Widget.Part", "use tablestakes.Document"),
    ],
)
def test_a_list_in_a_column_needs_json(widgets: Widgets, package: str, kind: str, fix: str) -> None:
    """A repeated field whose column keeps no lists is refused, with the type that would keep it."""
    assert refusal(widgets(package)) == (
        f"{package}.v1.Widget.label cannot be kept in the column widgets.label:"
        f" no codec between repeated {kind} and String(); {fix}"
    )


@pytest.mark.parametrize("package", ["repeated_field", "names", "items", "number_of_items"])
def test_a_list_without_a_column_needs_a_relationship(widgets: Widgets, package: str) -> None:
    """A repeated field whose model has nothing of its name is refused, with everything that there is."""
    assert refusal(widgets(package), Bare) == (
        f"{package}.v1.Widget.label is repeated, and Bare has neither a JSON column nor a relationship of its name;"
        " there are: id, size"
    )


def test_a_list_of_names_in_a_column_is_refused(widgets: Widgets) -> None:
    """A repeated reference beside a column of its name is refused: no foreign key would watch over the names."""
    assert refusal(widgets("names")) == (
        "names.v1.Widget.label holds names, which need a relationship with a secondary table:"
        " widgets.label is a column"
    )


@pytest.mark.parametrize("package", ["repeated_field", "number_of_items"])
def test_a_list_of_scalars_needs_json(widgets: Widgets, package: str) -> None:
    """A repeated field of neither names nor messages is refused, whatever its relationship; JSON keeps it."""
    for model in (Labelled, Linked):
        assert refusal(widgets(package), model) == (
            f"{package}.v1.Widget.label holds neither names of resources nor messages: it needs a JSON column"
        )
    assert bound(Resource(message=widgets(package), model=Documented))


def test_a_list_of_names_needs_a_table_between(widgets: Widgets) -> None:
    """A repeated reference whose relationship goes through no table between is refused."""
    assert refusal(widgets("names"), Labelled) == (
        "names.v1.Widget.label holds names, and its relationship has no secondary table"
    )
    assert bound(Resource(message=widgets("names"), model=Linked))


def test_an_items_field_needs_a_column(widgets: Widgets) -> None:
    """A field of a repeated message without a column in the items' table is refused by its own name."""
    assert refusal(widgets("misspelt_items"), Labelled) == (
        "misspelt_items.v1.Widget.Part.nubmer needs a column nubmer in the table labels; did you mean number?"
    )


def test_a_list_of_messages_needs_a_table_of_its_own(widgets: Widgets) -> None:
    """A repeated message whose relationship goes through a table between is refused."""
    assert refusal(widgets("items"), Linked) == (
        "items.v1.Widget.label holds messages, and its relationship has a secondary table"
    )


def test_a_list_of_messages_is_written_by_standard_methods(widgets: Widgets) -> None:
    """A resource with a list of messages that callers may set has a standard Create and a standard Update."""
    methods = bound(Resource(message=widgets("items"), model=Labelled))
    assert {"create", "update"} <= {method.served_by for method in methods}


def test_a_list_of_messages_with_an_unfilled_column_needs_functions(widgets: Widgets) -> None:
    """A standard Create or Update is refused where a column of the items' table would have no value."""
    refused = (
        "items.v1.WidgetService.{0}Widget cannot write priced_labels: price would have no value."
        " Give it a default, or serve {0}Widget by a function"
    )
    assert refusal(widgets("items"), Priced) == refused.format("Create")
    assert refusal(widgets("items"), Priced, CreateWidget=serve_nothing) == refused.format("Update")
    functions = {"CreateWidget": serve_nothing, "UpdateWidget": serve_nothing}
    assert len(own(bound(Resource(message=widgets("items"), model=Priced, methods=functions)))) == 2
    # A list that only the service fills is written by no standard method, and needs no value from one.
    assert bound(Resource(message=widgets("read_only_items"), model=Priced))


@pytest.mark.parametrize(("package", "model"), [("fixed_names", Linked), ("fixed_items", Labelled)])
def test_an_immutable_list_is_updated_by_functions_alone(
    widgets: Widgets, package: str, model: type[DeclarativeBase]
) -> None:
    """A standard Update of a resource with an IMMUTABLE list is refused, and a standard Create is not."""
    assert refusal(widgets(package), model) == (
        f"{package}.v1.WidgetService.UpdateWidget needs a function: Widget.label cannot be written by a standard"
        " method"
    )
    update = {"UpdateWidget": serve_nothing}
    methods = bound(Resource(message=widgets(package), model=model, methods=update))
    assert "create" in {method.served_by for method in methods}


def test_a_column_that_create_leaves_without_a_value_is_named(widgets: Widgets) -> None:
    """A standard Create is refused where a column of the table would have no value; a function may fill it."""
    assert refusal(widgets("right"), Unfilled) == (
        "right.v1.WidgetService.CreateWidget leaves unfilled_widgets.color, shape without a value: give it a"
        " default, or serve CreateWidget by a function"
    )
    assert bound(Resource(message=widgets("right"), model=Unfilled, methods={"CreateWidget": serve_nothing}))


def test_a_reference_to_a_type_that_is_not_served_is_named(widgets: Widgets) -> None:
    """A reference to a type that no resource has is refused, with the type that it resembles."""
    assert refusal(widgets("unserved_reference")) == (
        "unserved_reference.v1.Widget.label refers to widget.example.com/Wigdet, which is not served;"
        " did you mean widget.example.com/Widget?"
    )


def test_a_reference_to_a_name_of_two_ids_is_named(widgets: Widgets) -> None:
    """A reference to a resource whose name one column cannot keep is refused."""
    assert refusal(widgets("nested_reference")) == (
        "nested_reference.v1.Widget.label refers to widget.example.com/Widget, whose name needs more than one"
        " column"
    )


@pytest.mark.parametrize(
    ("package", "error"),
    [
        ("nested", "ListWidgetsRequest needs a field parent"),
        ("nested_create", "CreateWidgetRequest needs a field parent; there are: widget"),
        ("nested_by_number", "ListWidgetsRequest.parent is not of the type that a standard method needs"),
        ("id_by_number", "CreateWidgetRequest.widget_id is not of the type that a standard method needs"),
        ("validate_by_text", "CreateWidgetRequest.validate_only is not of the type that a standard method needs"),
        ("force_by_text", "DeleteWidgetRequest.force is not of the type that a standard method needs"),
    ],
)
def test_a_request_without_a_field_of_its_resource_is_named(widgets: Widgets, package: str, error: str) -> None:
    """A List or Create below a parent needs `parent`, and each standard field needs its type."""
    assert refusal(widgets(package)) == f"{package}.v1.{error}"
    assert bound(Resource(message=widgets("nested_right"), model=Widget))


@pytest.mark.parametrize("option", ["full_view_only", "transform"])
def test_an_option_for_no_field_is_named(widgets: Widgets, option: str) -> None:
    """A field that `full_view_only` or `transform` names and is none is refused, with the nearest there is."""
    error = f"right.v1.Widget: {option} names lable, which is no field; did you mean label?"
    assert refusal(widgets("right"), options={option: dict.fromkeys(["lable"])}) == error


def test_an_etag_needs_a_version(widgets: Widgets) -> None:
    """A resource with an etag whose model has no version is refused, and so is an etag that is no text."""
    assert refusal(widgets("etag")) == (
        "etag.v1.Widget.etag needs a version: make the model of widgets tablestakes.Versioned"
    )
    assert bound(Resource(message=widgets("etag"), model=Counted))
    assert refusal(widgets("etag_by_number"), Counted) == "etag_by_number.v1.Widget.etag must be a string (AIP-154)"


def test_nothing_shows_deleted_ones_where_none_are(widgets: Widgets) -> None:
    """A List with show_deleted of a resource that is deleted for good is refused."""
    assert refusal(widgets("show_deleted_of_list")) == (
        "show_deleted_of_list.v1.ListWidgetsRequest has show_deleted, and show_deleted_of_list.v1.Widget is deleted"
        " for good: leave it out"
    )


def test_an_etag_that_no_verb_reads_is_named(widgets: Widgets) -> None:
    """An etag in the request of a Get or an Update is refused: an Update reads that of the resource."""
    for package, method in (("etag_of_get", "GetWidget"), ("etag_of_update", "UpdateWidget")):
        assert refusal(widgets(package), Counted) == (
            f"{package}.v1.{method}Request has etag, which this standard method does not serve: leave it out, or"
            f" serve {method} by a function"
        )


@pytest.mark.parametrize("functions", [{}, {"DeleteWidget": "function"}, {"DeleteWidget": "transition"}])
def test_a_request_has_no_etag_that_its_resource_has_not(widgets: Widgets, functions: dict[str, str]) -> None:
    """A request with the etag of a resource that has none is refused, whatever serves the method."""
    known = {"function": serve_nothing, "transition": Transition(("OLD",), "NEW")}
    methods: Any = {name: known[kind] for name, kind in functions.items()}
    assert refusal(widgets("etag_of_request"), Widget, **methods) == (
        "etag_of_request.v1.DeleteWidgetRequest has an etag, and etag_of_request.v1.Widget has none: give it"
        " `string etag`, and its model tablestakes.Versioned"
    )


def test_what_may_be_missing_has_an_id_that_callers_choose(widgets: Widgets) -> None:
    """An Update with allow_missing is refused where no Create takes an id."""
    assert refusal(widgets("upsert")) == (
        "upsert.v1.WidgetService.UpdateWidget: allow_missing needs a CreateWidget whose request has widget_id, for"
        " to create by a name is to choose the id"
    )


@pytest.mark.parametrize("name", UNSERVED)
def test_a_standard_field_that_is_not_served_is_named(widgets: Widgets, name: str) -> None:
    """A request with a field that the AIPs define and no verb serves is refused: to ignore it would be a lie."""
    package, method = f"with_{name}", request_of(UNSERVED[name][0]).removesuffix("Request")
    assert refusal(widgets(package)) == (
        f"{package}.v1.{method}Request has {name}, which this standard method does not serve: leave it out, or"
        f" serve {method} by a function"
    )
    assert bound(Resource(message=widgets(package), model=Widget, methods={method: serve_nothing}))


def test_a_service_in_a_file_of_its_own_is_served(widgets: Widgets) -> None:
    """A service whose proto file no resource is in, and which no resource's file imports, is found and served."""
    message = widgets("apart")
    assert not message.DESCRIPTOR.file.services_by_name
    methods = bound(Resource(message=message, model=Widget))
    assert {method.path for method in methods} == {
        f"/apart.v1.WidgetService/{name}"
        for name in ("GetWidget", "ListWidgets", "CreateWidget", "UpdateWidget", "DeleteWidget")
    }
    assert {method.served_by for method in methods} == {"get", "list", "create", "update", "delete"}


def test_a_misspelt_rpc_in_a_file_of_its_own_is_named(widgets: Widgets) -> None:
    """An RPC that nothing serves is refused in whichever file of the package its service stands."""
    assert refusal(widgets("misspelt_apart")).startswith(
        "nothing serves misspelt_apart.v1.WidgetService.GetWidgte: "
    )


def audited(name: str, column: Any) -> type[DeclarativeBase]:
    """Return a model of widgets with one more column."""

    class Base(DeclarativeBase):
        """Models that never join any others."""

    return type(
        "AuditedWidget",
        (Base,),
        {
            "__tablename__": "audited_widgets",
            "id": mapped_column(Integer, primary_key=True),
            "label": mapped_column(String),
            "size": mapped_column(Integer),
            name: column,
        },
    )


@pytest.mark.parametrize("name", ["create_time", "update_time"])
@pytest.mark.parametrize("kind", [DateTime(), String(), Integer(), Date()])
def test_an_audit_time_needs_a_time_zone(widgets: Widgets, name: str, kind: TypeEngine[Any]) -> None:
    """A create_time or update_time that keeps no instant, for want of a time zone or of a time, is refused."""
    assert refusal(widgets("right"), audited(name, mapped_column(kind))) == (
        f"audited_widgets.{name} must be an instant: use tablestakes.Instant"
    )
    assert bound(Resource(message=widgets("right"), model=audited(name, mapped_column(Instant))))


@pytest.mark.parametrize("name", ["created_by", "updated_by"])
@pytest.mark.parametrize("column", [{"type_": String(), "nullable": False}, {"type_": Integer(), "nullable": True}])
def test_an_audit_name_is_text_that_may_be_null(widgets: Widgets, name: str, column: dict[str, Any]) -> None:
    """A created_by or updated_by that is NOT NULL, or no text, is refused: an anonymous caller has no name."""
    model = audited(name, mapped_column(column["type_"], nullable=column["nullable"]))
    assert refusal(widgets("right"), model) == (
        f"audited_widgets.{name} must be text that may be NULL: nobody is known without authentication"
    )
    assert bound(Resource(message=widgets("right"), model=audited(name, mapped_column(String, nullable=True))))


@pytest.mark.parametrize("name", ["create_time", "update_time", "created_by", "updated_by"])
@pytest.mark.parametrize("given", ["default", "onupdate"])
def test_an_audit_column_has_no_value_of_its_own(widgets: Widgets, name: str, given: str) -> None:
    """A default or an onupdate of an audit column is refused: the engine fills it, and only one of them can."""
    kind, value = (Instant, func.now()) if name.endswith("time") else (String(), "somebody")
    options: dict[str, Any] = {given: value, "nullable": True}
    assert refusal(widgets("right"), audited(name, mapped_column(kind, **options))) == (
        f"audited_widgets.{name} must have neither default nor onupdate: the engine fills it"
    )


def test_another_column_may_have_an_onupdate(widgets: Widgets) -> None:
    """An onupdate of a column that is none of the audit columns is SQLAlchemy's to fill."""
    column = mapped_column(Instant, default=func.now(), onupdate=func.now())
    assert bound(Resource(message=widgets("right"), model=audited("touch_time", column)))


def test_a_create_time_that_callers_may_set_is_refused(widgets: Widgets) -> None:
    """A create_time that the engine fills must be OUTPUT_ONLY, or a caller's value would be lost without a word."""
    model = audited("create_time", mapped_column(Instant))
    assert refusal(widgets("settable_create_time"), model) == (
        "settable_create_time.v1.Widget.create_time must be OUTPUT_ONLY: the engine fills it"
    )
    assert bound(Resource(message=widgets("create_time"), model=model))


def test_a_transition_needs_a_state(widgets: Widgets) -> None:
    """A transition of a resource without a field `state` is refused, with the fields that it has."""
    assert refusal(widgets("strange_rpc"), Xyzzy=Transition(("OLD",), "NEW")) == (
        "strange_rpc.v1.Widget has no field state; there are: label, size"
    )


def test_a_transition_needs_a_state_that_is_an_enum(widgets: Widgets) -> None:
    """A transition of a resource whose state is text is refused: its states would be known to nobody."""
    assert refusal(widgets("text_state"), Stateful, GetWidget=Transition(("OLD",), "NEW")) == (
        "text_state.v1.Widget.state must be an enum (AIP-216)"
    )


@pytest.mark.parametrize(
    ("transition", "hint"),
    [
        (Transition(("ODL",), "NEW"), "ODL; did you mean OLD?"),
        (Transition(("OLD", "OLDRE"), "NEW"), "OLDRE; did you mean OLDER?"),
        (Transition(("OLD",), "NWE"), "NWE; did you mean NEW?"),
        (Transition(("OLD",), "new"), "new; there are: NEW, OLD, OLDER, STATE_UNSPECIFIED"),
        (Transition(("OLD",), ""), "; there are: NEW, OLD, OLDER, STATE_UNSPECIFIED"),
    ],
)
def test_a_misspelt_state_is_named_with_the_state_that_it_resembles(
    widgets: Widgets, transition: Transition, hint: str
) -> None:
    """A transition from or to a state that the enum does not have is refused at start, with a likely spelling."""
    assert refusal(widgets("state"), Stateful, GetWidget=transition) == f"state.v1.Widget has no state {hint}"


def test_a_transition_needs_a_source(widgets: Widgets) -> None:
    """A transition without a source, which no call could ever make, is refused."""
    assert refusal(widgets("state"), Stateful, GetWidget=Transition((), "NEW")) == (
        "state.v1.Widget: a transition to NEW has no sources"
    )


def test_a_transition_needs_the_field_that_it_stamps(widgets: Widgets) -> None:
    """A transition that stamps a field which is not there is refused, with the field that it resembles."""
    stamped = Transition(("OLD",), "NEW", stamp="sise")
    assert refusal(widgets("state"), Stateful, GetWidget=stamped) == (
        "state.v1.Widget has no field sise; did you mean size?"
    )


@pytest.mark.parametrize("stamp", ["size", "state"])
def test_a_stamp_is_a_timestamp(widgets: Widgets, stamp: str) -> None:
    """A transition that stamps a field which keeps no time is refused; one that stamps a Timestamp is served."""
    change = Transition(("OLD",), "NEW", stamp=stamp)
    assert refusal(widgets("stamped"), Stateful, GetWidget=change) == (
        f"stamped.v1.Widget.{stamp} keeps no time: a stamp must be a Timestamp"
    )
    change = Transition(("OLD",), "NEW", stamp="stamp_time")
    assert bound(Resource(message=widgets("stamped"), model=Stateful, methods={"GetWidget": change}))


def test_a_transition_takes_a_name_and_returns_its_resource(widgets: Widgets) -> None:
    """A transition without a name in its request, or that returns another message, is refused."""
    change = Transition(("OLD", "OLDER"), "NEW")
    assert refusal(widgets("state"), Stateful, ListWidgets=change) == (
        "state.v1.ListWidgetsRequest needs a field name; there are: page_size, page_token"
    )
    assert refusal(widgets("state"), Stateful, DeleteWidget=change) == (
        "state.v1.WidgetService.DeleteWidget returns google.protobuf.Empty, and must return state.v1.Widget"
    )
    methods = bound(Resource(message=widgets("state"), model=Stateful, methods={"GetWidget": change}))
    assert {method.name: method.served_by for method in methods}["GetWidget"] == "OLD or OLDER to NEW"
