"""Rows that filters are asked of, on any database, and the messages of them."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table, insert, select

from marketplace_service.api import RESOURCES
from marketplace_service.models import Order, OrderItem, Post, Product, Tag, User, post_tags
from marketplace_service.models import declarative as marketplace
from tablestakes.crud.schema.schema import Schema, compile_schemas
from tests import gadgets
from tests.gadgets import GADGET, Gadget
from tests.library import models as library
from tests.library.models import Book, Chapter, Reader, Shelf, shelf_keepers
from tests.library.service import SERVICE as LIBRARY

TEXTS = [
    *("", "a", "A", "ab", "abc", "b", "z", "a%b", "a_b", "axb", "a\\b", "a*b", "*", "**", "[a]", "a?", "?"),
    *("ä", "Ä", "é", "ß", "ss", "😀", "\uffff", "it's", 'say "x"', "a\nb", " ", "a b", "NOT", "%", "_", "\\"),
]
"""Texts that a pattern, an escape or a language's rules of order might take for something else."""

MOMENTS = [
    datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC),
    datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=UTC),
    datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1999, 12, 31, tzinfo=UTC),
    datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
]
FLOATS = [0.0, 0.5, -0.5, 4.1, 1e300, -1e-300, float("inf"), 3.0, 16777217.0]
INTEGERS = [0, 1, -1, 5, 9, 2**31 - 1, -(2**31)]
DECIMALS = [Decimal("0.000"), Decimal("1.500"), Decimal("-2.250"), Decimal("10.001"), None]


def _schemas(*resources: Any, codecs: Any = ()) -> dict[str, Schema]:
    return {name.rpartition(".")[2]: each for name, each in compile_schemas(resources, codecs).items()}


SCHEMAS: Mapping[str, Schema] = {
    **_schemas(*RESOURCES, GADGET),
    **_schemas(*LIBRARY.resources, codecs=LIBRARY.codecs),
}
METADATA = (marketplace.Base.metadata, gadgets.Base.metadata, library.Base.metadata)


def uuid_of(number: int) -> UUID:
    """Return an id of the library."""
    return UUID(int=number)


def _single(number: float) -> float:
    """Return a number as a field of 32 bits has it."""
    return float(struct.unpack("f", struct.pack("f", number))[0])


def rows() -> list[tuple[Table, list[dict[str, Any]]]]:
    """Return the rows of each table, in an order in which they can be inserted."""
    times = {"create_time": MOMENTS[0], "update_time": MOMENTS[2], "created_by": None, "updated_by": None}
    count = len(TEXTS)

    def at(values: list[Any], index: int) -> Any:
        return values[index % len(values)]

    users = [
        {
            "id": n + 1,
            "email": f"{text.lower() or 'x'}{n}@example.com",
            "username": f"user{n}",
            "full_name": text,
            "active": n % 3 > 0,
            **times,
            "create_time": at(MOMENTS, n),
        }
        for n, text in enumerate(TEXTS)
    ]
    tags = [
        {"id": id_, "display_name": text, **times} for id_, text in (("jazz", "Jazz"), ("rock", "a%b"), ("x", "z"))
    ]
    states = ["DRAFT", "PUBLISHED", "ARCHIVED"]
    posts = [
        {
            "id": n + 1,
            "author_id": n % 7 + 1,
            "title": text or "untitled",
            "content": at(TEXTS, n + 3),
            "state": at(states, n),
            "publish_time": None if n % 4 == 0 else at(MOMENTS, n),
            **times,
        }
        for n, text in enumerate(TEXTS)
    ]
    links = [{"post_id": n + 1, "tag_id": each} for n in range(count) for each in ("jazz", "rock", "x")[: n % 4]]
    products = [
        {"id": n + 1, "display_name": f"p{n}", "category": "c", "price_cents": n + 1, "stock": n, **times}
        for n in range(4)
    ]
    orders = [
        {
            "id": n + 1,
            "customer_id": n % 5 + 1,
            "total_cents": n * 100,
            "state": at(["PENDING", "PAID"], n),
            **times,
        }
        for n in range(8)
    ]
    items = [
        {
            "order_id": n + 1,
            "position": place,
            "product_id": (n + place) % 4 + 1,
            "quantity": n + place + 1,
            "unit_price_cents": 10 * place + 1,
            **times,
        }
        for n in range(8)
        for place in range(n % 3)
    ]
    made = [
        {
            "id": n + 1,
            "label": text,
            "series": at(TEXTS, n * 7 + 1),
            "weight": at(INTEGERS, n),
            "level": n % 10,
            "ratio": at(FLOATS, n),
            "blob": b"" if n % 2 else b"\x00x",
            "note": None if n % 3 == 0 else at(TEXTS, n * 5),
            "due_time": None if n % 3 == 1 else at(MOMENTS, n),
            "twin_id": None if n == 0 or n % 4 == 0 else n // 2 + 1,
            **times,
        }
        for n, text in enumerate(TEXTS)
    ]
    readers = [
        {"id": uuid_of(n + 1), "display_name": at(TEXTS, n), "card": uuid_of(100 + n), **times} for n in range(5)
    ]
    places: list[Any] = [
        None,
        {},
        {"room": "a%b", "floor": "3", "signs": ["x", "a*b"], "inner": {"room": "A", "floor": "-7"}},
        {"room": "a", "inner": {}},
        {"floor": "9007199254740993", "signs": []},
    ]
    shelves = [
        {
            "id": uuid_of(n + 1),
            "theme": f"theme {n}",
            "place": places[n],
            "size": None if n % 2 else "90x200",
            "curator_id": None if n % 2 == 0 else uuid_of(n),
            **times,
            "created_by": None if n % 2 else at(TEXTS, n),
        }
        for n in range(5)
    ]
    keepers = [{"shelf_id": uuid_of(n + 1), "reader_id": uuid_of(m + 1)} for n in range(5) for m in range(n % 3)]
    lists: list[Any] = [[], ["Ann"], ["ann", "a%b"], ["a*b", "😀", ""], ["z"]]
    maps: list[Any] = [{}, {"a": "b"}, {"a": "", "b.c": "x"}, {"😀": "A", "a": "a%b"}]
    books = [
        {
            "id": uuid_of(n + 1),
            "shelf_id": uuid_of(n % 5 + 1),
            "title": f"{n} {text}",
            "authors": at(lists, n),
            "labels": at(maps, n),
            "price_currency_code": None if n % 3 == 0 else at(["EUR", ""], n),
            "price_units": None if n % 3 == 0 else at(INTEGERS, n),
            "price_nanos": None if n % 3 == 0 else 0,
            "publish_date": None if n % 4 == 0 else date(2000 + n, 2, 28),
            "loan_period": None if n % 5 == 0 else timedelta(seconds=n - 3, microseconds=n * 100_000),
            "weight": at(DECIMALS, n),
            "cover": b"",
            "attributes": None if n % 2 else {"x": 1},
            "pages": n * 11,
            "rating": _single(at([0.0, 4.1, 2.5, -1.25], n)),
            "binding": n % 3,
            "borrower_id": None if n % 2 else uuid_of(n % 5 + 1),
            **times,
        }
        for n, text in enumerate(TEXTS[:20])
    ]
    chapters = [
        {
            "book_id": uuid_of(n + 1),
            "position": place,
            "heading": at(TEXTS, n + place),
            "first_page": place * 10,
            "topics": at(lists, n + place),
        }
        for n in range(20)
        for place in range(n % 3)
    ]
    given: list[tuple[Any, list[dict[str, Any]]]] = [
        (User.__table__, users),
        (Tag.__table__, tags),
        (Post.__table__, posts),
        (post_tags, links),
        (Product.__table__, products),
        (Order.__table__, orders),
        (OrderItem.__table__, items),
        (Gadget.__table__, made),
        (Reader.__table__, readers),
        (Shelf.__table__, shelves),
        (shelf_keepers, keepers),
        (Book.__table__, books),
        (Chapter.__table__, chapters),
    ]
    return given


def build(connection: Connection) -> None:
    """Make the tables, and insert the rows."""
    for metadata in METADATA:
        metadata.create_all(connection)
    for table, given in rows():
        connection.execute(insert(table), given)


@dataclass(frozen=True)
class World:
    """The messages of the rows.

    Attributes:
        messages: By resource, each message by its name.
    """

    messages: Mapping[str, Mapping[str, Any]]

    def named(self, name: str) -> Any:
        """Return the message of a name, None for the empty one."""
        return next((found[name] for found in self.messages.values() if name in found), None)


def world(connection: Connection) -> World:
    """Return the messages that the service would return."""
    found: dict[str, dict[str, Any]] = {}
    for resource in ("User", "Tag", "Post", "Product", "Order", "Gadget", "Reader", "Shelf", "Book"):
        schema = SCHEMAS[resource]
        kept = connection.execute(select(*schema.full.columns)).all()
        messages: list[Any] = schema.full.messages(connection, kept)
        found[resource] = {each.name: each for each in messages}
    return World(found)
