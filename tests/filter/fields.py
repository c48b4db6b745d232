"""The fields of resources that the generated filters name, and how a message has their values."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from tests.filter.oracle import (
    BOOLEAN,
    DAY,
    DECIMAL,
    DURATION,
    FLOAT,
    INTEGER,
    MOMENT,
    TEXT,
    Field,
    Get,
    Kind,
    choice,
    decimal,
    instant,
    names,
    quote,
)
from tests.filter.world import World, uuid_of

USERS = names("users/1", "users/3", "users/999")
GADGETS = names("gadgets/1", "gadgets/2", "gadgets/3", "gadgets/999")
TAGS = names("tags/jazz", "tags/rock", "tags/none")
READERS = names(*(f"readers/{uuid_of(n)}" for n in (1, 2, 99)))
KEY = Kind("=", ["a", "b.c", "😀", "", "z*"], quote)
BINDINGS = {0: "BINDING_UNSPECIFIED", 1: "HARDCOVER", 2: "PAPERBACK"}


def own(name: str, show: Callable[[Any], Any] = lambda value: value) -> Get:
    """Return the values of a field: none where it has presence and is not set."""

    def get(_: World, message: Any) -> list[Any]:
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.has_presence and not message.HasField(name):
            return []
        return [show(getattr(message, name))]

    return get


def each(name: str) -> Get:
    """Return the values of a repeated field."""
    return lambda _, message: list(getattr(message, name))


def some(name: str) -> Get:
    """Return the value of a reference: none where it is empty."""
    return lambda _, message: [getattr(message, name)] if getattr(message, name) else []


def through(references: Get, get: Get) -> Get:
    """Return the values of a field of the resources that others refer to."""

    def values(world: World, message: Any) -> list[Any]:
        found = [world.named(name) for name in references(world, message)]
        return [value for one in found if one is not None for value in get(world, one)]

    return values


def inside(messages: Get, get: Get) -> Get:
    """Return the values of a field of messages inside a message."""
    return lambda world, message: [value for one in messages(world, message) for value in get(world, one)]


def enum(name: str) -> Get:
    """Return the name of an enum's value."""

    def get(_: World, message: Any) -> list[Any]:
        field = message.DESCRIPTOR.fields_by_name[name]
        return [field.enum_type.values_by_number[getattr(message, name)].name]

    return get


def text(path: str, get: Get | None = None, *, looks_into: bool = True, optional: bool = False) -> Field:
    """Return a field that holds a text."""
    return Field(path, TEXT, get or own(path), looks_into, zero=None if optional else "")


def number(path: str, kind: Kind = INTEGER, get: Get | None = None, *, optional: bool = False) -> Field:
    """Return a field that holds a number."""
    return Field(path, kind, get or own(path), zero=None if optional else 0)


TWIN, TWINS_TWIN = some("twin"), through(some("twin"), some("twin"))

FIELDS: dict[str, list[Field]] = {
    "Gadget": [
        text("label"),
        text("series"),
        number("weight", optional=True),
        number("level"),
        number("ratio", FLOAT),
        text("note", optional=True),
        Field("due_time", MOMENT, own("due_time", instant)),
        Field("create_time", MOMENT, own("create_time", instant)),
        Field("name", GADGETS, own("name")),
        Field("twin", GADGETS, TWIN),
        text("twin.label", through(TWIN, own("label"))),
        text("twin.note", through(TWIN, own("note")), optional=True),
        Field("twin.name", GADGETS, through(TWIN, own("name"))),
        Field("twin.twin", GADGETS, TWINS_TWIN),
        number("twin.twin.level", get=through(TWINS_TWIN, own("level"))),
    ],
    "User": [
        text("full_name"),
        Field("active", BOOLEAN, own("active")),
        Field("create_time", MOMENT, own("create_time", instant)),
    ],
    "Post": [
        text("title"),
        text("content"),
        Field("state", choice("DRAFT", "PUBLISHED", "ARCHIVED", "STATE_UNSPECIFIED"), enum("state")),
        Field("author", USERS, some("author")),
        Field("author.active", BOOLEAN, through(some("author"), own("active"))),
        text("author.full_name", through(some("author"), own("full_name"))),
        Field("tags", TAGS, each("tags"), listed=True),
        text("tags.display_name", through(each("tags"), own("display_name"))),
        Field("publish_time", MOMENT, own("publish_time", instant)),
    ],
    "Order": [
        Field("items.product", names("products/1", "products/2"), inside(each("items"), some("product"))),
        number("items.quantity", get=inside(each("items"), own("quantity"))),
        number("items.product.stock", get=inside(each("items"), through(some("product"), own("stock")))),
        number("total_cents"),
        Field("customer", USERS, some("customer")),
    ],
    "Shelf": [
        text("place.room", inside(own("place"), own("room")), looks_into=False),
        number("place.floor", get=inside(own("place"), own("floor"))),
        text("place.inner.room", inside(inside(own("place"), own("inner")), own("room")), looks_into=False),
        Field("place.signs", TEXT, inside(own("place"), each("signs")), listed=True),
        text("created_by"),
        Field("curator", READERS, some("curator")),
        text("curator.display_name", through(some("curator"), own("display_name"))),
        Field("keepers", READERS, each("keepers"), listed=True),
        text("keepers.display_name", through(each("keepers"), own("display_name"))),
    ],
    "Book": [
        text("title"),
        Field("authors", TEXT, each("authors"), listed=True),
        Field("labels.a", TEXT, lambda _, book: [book.labels["a"]] if "a" in book.labels else []),
        Field('labels."b.c"', TEXT, lambda _, book: [book.labels["b.c"]] if "b.c" in book.labels else []),
        Field("labels", KEY, lambda _, book: list(book.labels), listed=True),
        number("price.units", get=inside(own("price"), own("units"))),
        text("price.currency_code", inside(own("price"), own("currency_code")), looks_into=False),
        Field("publish_date", DAY, own("publish_date", lambda day: date(day.year, day.month, day.day))),
        Field(
            "loan_period",
            DURATION,
            own("loan_period", lambda kept: timedelta(seconds=kept.seconds, microseconds=kept.nanos // 1000)),
        ),
        Field("weight", DECIMAL, own("weight", decimal)),
        number("pages", Kind(INTEGER.operators, [0, 11, 22, 209], INTEGER.write)),
        number("rating", Kind(FLOAT.operators, [0.0, 2.5, -1.25], FLOAT.write)),
        Field("binding", choice(*BINDINGS.values()), enum("binding"), zero=BINDINGS[0]),
        Field("borrower", READERS, some("borrower")),
        text("borrower.display_name", through(some("borrower"), own("display_name"))),
        text("chapters.heading", inside(each("chapters"), own("heading")), looks_into=False),
        number(
            "chapters.first_page",
            Kind(INTEGER.operators, [0, 10], INTEGER.write),
            inside(each("chapters"), own("first_page")),
        ),
        Field("chapters.topics", TEXT, inside(each("chapters"), each("topics")), listed=True),
    ],
}
"""By resource, fields of every kind."""
