"""Orders: what is none, and which of them an index serves."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Index, MetaData, Table

from marketplace_service import SERVICE as MARKETPLACE
from tablestakes import DeclarationError, Resource
from tablestakes.crud.query.index import unserved
from tablestakes.crud.query.order import Orders
from tablestakes.crud.schema.schema import Schema, compile_schemas
from tablestakes.errors import StatusError
from tests.library.service import SERVICE

SCHEMAS = compile_schemas(SERVICE.resources, SERVICE.codecs)
BOOKS = SCHEMAS["library.v1.Book"]
ORDERS = Orders(BOOKS)
RESOURCES = {resource.descriptor.name: resource for resource in SERVICE.resources}

REFUSED = {
    "title,": "'' is none",
    ",": "'' is none",
    "title descending": "'title descending' is none",
    "title DESC": "'title DESC' is none",
    "title desc desc": "'title desc desc' is none",
    "title; DROP TABLE books": "is none",
    "price. units": "is none",
    "title, title desc": "has title twice",
    "titel": "Book has no field titel; did you mean title?",
    "borrower.card_no": "Reader has no field card_no; did you mean card?",
    "title.length": "title has no fields to order by",
    "authors": "authors, which has several values",
    "chapters.heading": "chapters.heading, which has several values",
    "price": "price, which is a message: name fields of it",
    "labels": "labels, which has several values",
    "attributes": "attributes, which has no order",
    ",".join(f"f{number}" for number in range(11)): "at most 10 fields",
    "x" * 1001: "at most 1000 characters",
    "ti\x00tle": "is none",
}


@pytest.mark.parametrize("order", REFUSED, ids=range(len(REFUSED)))
def test_an_order_that_is_none_is_refused(order: str) -> None:
    """An order of other than fields with one value each is INVALID_ARGUMENT on `order_by`, which says why."""
    with pytest.raises(StatusError) as caught:
        Orders(BOOKS).read(order)
    assert caught.value.reason == "INVALID_ORDER_BY"
    assert [violation.field for violation in caught.value.violations] == ["order_by"]
    assert REFUSED[order] in caught.value.violations[0].description


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=60) | st.text("titleprcunsdagbo., \t_", max_size=60))
def test_any_text_is_an_order_or_refused(text: str) -> None:
    """Any text is an order, or INVALID_ARGUMENT, and no other error."""
    try:
        found: Any = ORDERS.read(text).terms[-1].column
    except StatusError as error:
        found = error.violations[0].field
    assert found in ("order_by", BOOKS.names.id_column)


def test_spaces_mean_nothing_in_an_order() -> None:
    """An order is the same with spaces around its fields and its directions, and with `asc` for the default."""
    orders = [Orders(BOOKS).read(text) for text in ("pages,title desc", "  pages   asc ,  title   desc  ")]
    first, second = ([(term.column, term.descending) for term in order.terms] for order in orders)
    assert first == second


def test_an_order_ends_with_a_key_the_same_way() -> None:
    """The key is the last tie-break, and goes the way of the last field; after a unique field there is none."""

    def terms(text: str, resource: str = "Shelf") -> list[tuple[str, bool]]:
        found = Orders(SCHEMAS[f"library.v1.{resource}"]).read(text).terms
        return [(term.column.name, term.descending) for term in found if term.column is not None]

    assert terms("") == [("id", False)]
    assert terms("create_time desc") == [("create_time", True), ("id", True)]
    assert terms("card desc, display_name", "Reader") == [("card", True)]
    # Unique among those alone that are not deleted.
    assert terms("theme desc") == [("theme", True), ("id", True)]
    assert terms("create_time, name desc") == [("create_time", False), ("id", True)]


def indexed(*columns: str, unique: bool = False) -> Schema:
    """Return the schema of books, whose table has one index more; ` desc` after a column turns it."""
    apart = MetaData()
    for other in (SCHEMAS[f"library.v1.{name}"].table for name in ("Reader", "Shelf")):
        other.to_metadata(apart)
    table: Any = BOOKS.table.to_metadata(apart)
    moved = {column: table.c[column.name] for column in BOOKS.table.columns}
    made = [table.c[name.removesuffix(" desc")] for name in columns]
    Index(
        None,
        *(c.desc() if name.endswith("desc") else c for c, name in zip(made, columns, strict=True)),
        unique=unique,
    )
    fields = {name: _moved(field, moved) for name, field in BOOKS.fields.items()}
    names = replace(BOOKS.names, columns=tuple(moved[column] for column in BOOKS.names.columns))
    assert isinstance(table, Table)
    return replace(BOOKS, table=table, fields=fields, names=names)


def _moved(field: Any, moved: dict[Any, Any]) -> Any:
    if hasattr(field, "column"):
        return replace(field, column=moved[field.column])
    return replace(field, fields={name: _moved(each, moved) for name, each in field.fields.items()})


@pytest.mark.parametrize(
    ("order", "columns", "served"),
    [
        ("pages", ("shelf_id", "pages", "id"), True),
        ("pages desc", ("shelf_id", "pages", "id"), True),
        ("pages desc", ("shelf_id", "pages desc", "id desc"), True),
        ("pages", ("shelf_id", "pages"), False),
        ("pages", ("pages", "id"), False),
        ("pages", ("shelf_id", "pages", "rating", "id"), False),
        ("pages, rating desc", ("shelf_id", "pages", "rating", "id"), False),
        ("pages, rating desc", ("shelf_id", "pages", "rating desc", "id desc"), True),
        ("price.units", ("shelf_id", "price_units", "id"), True),
        # Its text would be ordered by the rules of a language.
        ("price.currency_code", ("shelf_id", "price_currency_code", "id"), False),
    ],
)
def test_an_order_without_an_index_is_named(order: str, columns: tuple[str, ...], served: bool) -> None:
    """An order is served by an index of the parent's ids, its columns and the key, read either way, or named."""
    resource: Resource = replace(RESOURCES["Book"], orders=(order,))
    lines = list(unserved(indexed(*columns), resource))
    assert [f"Book: no index serves order {order};" in line for line in lines] == [True] * (not served)


def test_a_filter_without_an_index_is_named() -> None:
    """A field that callers are told to filter by, and that no index has first, is named."""
    resource = replace(RESOURCES["Book"], filterable=("borrower", "pages", "borrower.card"))
    assert list(unserved(BOOKS, resource)) == ["Book: no index serves a filter by pages"]


def test_an_order_by_a_reference_is_named() -> None:
    """No index serves an order by a field of what a resource refers to."""
    (line,) = unserved(BOOKS, replace(RESOURCES["Book"], orders=("borrower.display_name",)))
    assert line.startswith("Book: no index serves order borrower.display_name;")


@pytest.mark.parametrize("option", ["orders", "filterable"])
def test_a_declaration_that_names_no_field_is_refused(option: str) -> None:
    """An order, and a field to filter by, that is none is a DeclarationError of the resource."""
    changed: dict[str, Any] = {option: ("titel",)}
    with pytest.raises(DeclarationError, match=rf"library.v1.Book: {option} names titel"):
        list(unserved(BOOKS, replace(RESOURCES["Book"], **changed)))


def test_a_default_order_that_is_none_is_refused_at_start() -> None:
    """A default order that names no field is a DeclarationError."""
    with pytest.raises(DeclarationError, match=r"library\.v1\.Book: default_order names titel"):
        Orders(replace(BOOKS, default_order="titel"))


def test_what_the_services_declare_is_served() -> None:
    """Each default order, and each order and filter that the services' callers are told of, has an index."""
    for service in (MARKETPLACE, SERVICE):
        schemas = compile_schemas(service.resources, service.codecs)
        for resource in service.resources:
            schema = schemas[resource.descriptor.full_name]
            assert list(unserved(schema, resource)) == []
