"""Walks through the pages of a List, in any order, on both databases."""

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, insert

from tablestakes.crud.call import Call
from tablestakes.crud.method import Method
from tablestakes.crud.once import Once
from tablestakes.crud.perform import perform
from tablestakes.crud.query.token import PageTokens
from tablestakes.database import Database, open_database
from tablestakes.errors import StatusError
from tests.library.models import Base, Book, Reader, Shelf
from tests.library.service import SERVICE
from tests.serving import settings_for

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TIMES = {"create_time": NOW, "update_time": NOW}
READERS = [UUID(int=1000 + number) for number in range(4)]
SHELVES = [UUID(int=2000 + number) for number in range(2)]
PARENT = f"shelves/{SHELVES[0]}"

# Few values of each field, so that many rows are alike in it, and texts that languages order by other rules.
VALUES: dict[str, list[Any]] = {
    "title": ["a", "B", "b", "ä", "Z", "z", "_", "😀", "￿"],
    "price_currency_code": [None, "EUR", "USD"],
    "price_units": [None, 1, 5, 9],
    "publish_date": [None, date(2020, 2, 29), date(1999, 12, 31)],
    "loan_period": [None, timedelta(days=1), timedelta(microseconds=-1), timedelta(days=400)],
    "weight": [None, Decimal("0.500"), Decimal("12.000"), Decimal("-1.250")],
    "cover": [b"", b"\x00", b"\xff\x00", b"a"],
    "pages": [0, 1, 99_999],
    "rating": [0.1, -0.1, 1e300, 0.5],
    "binding": [0, 1, 2],
    "borrower_id": [None, *READERS],
    "create_time": [NOW, NOW + timedelta(microseconds=1), NOW - timedelta(days=1)],
}

# How the rows of each order compare in Python: a field's path, and its value in a row.
FIELDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "title": lambda row: row["title"].encode(),
    "price.currency_code": lambda row: row["price_currency_code"],
    "price.units": lambda row: row["price_units"],
    "publish_date": lambda row: row["publish_date"],
    "loan_period": lambda row: row["loan_period"],
    "weight": lambda row: row["weight"],
    "cover": lambda row: row["cover"],
    "pages": lambda row: row["pages"],
    "rating": lambda row: row["rating"],
    "binding": lambda row: row["binding"],
    "borrower": lambda row: row["borrower_id"],
    "borrower.display_name": lambda row: None if row["borrower_id"] is None else reader_name(row["borrower_id"]),
    "create_time": lambda row: row["create_time"],
}


def reader_name(id_: UUID) -> bytes:
    """Return a reader's display_name, which two of them share."""
    return ("same", "same", "Other", "other")[READERS.index(id_)].encode()


@dataclass
class Books:
    """A shelf of books, and the method that lists them."""

    database: Database
    method: Method
    rows: dict[str, dict[str, Any]]

    async def page(self, **fields: Any) -> Any:
        """Return a page."""
        call = Call(self.method.request(parent=PARENT, **fields))
        reply = await perform(self.method, call, self.database, Once())
        return self.method.response.FromString(reply.data)

    async def walk(self, between: Callable[[], Any] | None = None, **fields: Any) -> list[str]:
        """Return the names on all pages, of sizes that change, doing something between each two."""
        names: list[str] = []
        token, size = "", 1
        while True:
            page = await self.page(page_token=token, page_size=size, **fields)
            names += [book.name for book in page.books]
            token, size = page.next_page_token, size % 9 + 4
            if not token:
                return names
            if between is not None:
                await between()

    async def add(self, some: random.Random, count: int) -> list[str]:
        """Add books with any values, and return their names."""
        made = [
            {name: some.choice(values) for name, values in VALUES.items()}
            | {"id": UUID(int=some.getrandbits(128)), "shelf_id": SHELVES[0], "authors": [], "labels": {}}
            | {"price_nanos": None, "attributes": None, "update_time": NOW}
            for _ in range(count)
        ]
        for row in made:
            # A title is unique on its shelf.
            row["title"] += f" {row['id']}"
        await self.database.transact(lambda connection: connection.execute(insert(Book), made))
        named = {f"{PARENT}/books/{row['id']}": row for row in made}
        self.rows |= named
        return list(named)

    async def remove(self, names: list[str]) -> None:
        """Delete books."""
        ids = [self.rows.pop(name)["id"] for name in names]
        await self.database.transact(lambda connection: connection.execute(delete(Book).where(Book.id.in_(ids))))

    def ordered(self, order: str) -> list[str]:
        """Return the names in an order, as Python sorts them: by the last field first, for sorting is stable."""
        terms = [term.split() for term in order.split(",") if term.strip()]
        descending = bool(terms) and terms[-1][1:] == ["desc"]
        names = sorted(self.rows, key=lambda name: self.rows[name]["id"].bytes, reverse=descending)
        for path, *direction in reversed(terms):
            read = FIELDS[path]
            names.sort(key=lambda name: _placed(read(self.rows[name])), reverse=direction == ["desc"])
        return names


def _placed(value: Any) -> tuple[bool, Any]:
    return (True, 0) if value is None else (False, value)


@pytest.fixture
async def books(empty_url: str) -> AsyncIterator[Books]:
    """Two shelves, of which one has books and the other one too, which no walk may meet."""
    database = open_database(settings_for(empty_url))
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        names = [reader_name(id_).decode() for id_ in READERS]
        readers = [
            {"id": id_, "display_name": name, "card": id_, **TIMES}
            for id_, name in zip(READERS, names, strict=True)
        ]
        await connection.execute(insert(Reader), readers)
        await connection.execute(insert(Shelf), [{"id": id_, "theme": str(id_), **TIMES} for id_ in SHELVES])
        other = {"id": UUID(int=1), "shelf_id": SHELVES[1], "title": "other", "authors": [], "labels": {}, **TIMES}
        await connection.execute(insert(Book), [other])
    methods = {method.name: method for method in SERVICE.bind(PageTokens(b"key"), most_counted=50)}
    yield Books(database, methods["ListBooks"], {})
    await database.close()


def orders(some: random.Random, count: int) -> list[str]:
    """Return every field by itself, both ways, and some orders of several."""
    single = [f"{path}{way}" for path in FIELDS for way in ("", " desc")]
    several = [
        " ,  ".join(f"{path}{some.choice(('', ' asc', '  desc'))}" for path in some.sample(sorted(FIELDS), width))
        for width in (2, 3, 5, 10)
        for _ in range(count)
    ]
    return ["", *single, *several]


async def test_a_walk_meets_each_row_once_and_in_its_order(books: Books) -> None:
    """A walk by any fields, each way, has the rows in the order that Python sorts them in, on each database."""
    some = random.Random(7)
    await books.add(some, 30)
    for order in orders(some, 2):
        assert await books.walk(order_by=order) == books.ordered(order), order


async def test_a_walk_misses_and_doubles_no_row_that_stays(books: Books) -> None:
    """While rows come and go between the pages, those that stay are met once and in order, and none twice."""
    some = random.Random(11)
    for order in ["", *orders(some, 1)[-4:]]:
        await books.remove(list(books.rows))
        stay, going = set(await books.add(some, 25)), await books.add(some, 25)

        async def change(going: list[str] = going) -> None:
            coming = await books.add(some, 2)
            chosen = [going.pop(some.randrange(len(going))) for _ in range(min(2, len(going)))]
            await books.remove(chosen)
            going.extend(coming[:1])

        met = await books.walk(change, order_by=order)
        assert len(met) == len(set(met)), order
        assert [name for name in met if name in stay] == [name for name in books.ordered(order) if name in stay], (
            order
        )


async def test_a_walk_of_a_filter(books: Books) -> None:
    """A walk by a reference's field has the rows of its filter alone, which goes through the same reference."""
    some = random.Random(13)
    await books.add(some, 60)
    order = "price.units desc, borrower.display_name, pages desc"
    met = await books.walk(order_by=order, filter='borrower.display_name = "same" AND pages > 0')
    wanted = {name for name, row in books.rows.items() if row["borrower_id"] in READERS[:2] and row["pages"]}
    assert met == [name for name in books.ordered(order) if name in wanted]
    assert len(met) > 5


async def test_skip_counts_resources(books: Books) -> None:
    """A page leaves out as many resources as `skip` says, after those of its token, and none past the end."""
    await books.add(random.Random(17), 30)
    for order in ("", "price.units, pages desc"):
        await check_skip(books, order)


async def check_skip(books: Books, order: str) -> None:
    """Check the pages of an order that leave resources out."""
    names = books.ordered(order)
    for skip in (0, 1, 29, 30, 1000, 2**31 - 1):
        page = await books.page(order_by=order, skip=skip, page_size=7)
        assert [book.name for book in page.books] == names[skip : skip + 7]
        assert bool(page.next_page_token) == (skip + 7 < 30)
    first = await books.page(order_by=order, page_size=7)
    second = await books.page(order_by=order, page_size=3, skip=5, page_token=first.next_page_token)
    assert [book.name for book in second.books] == names[12:15]
    third = await books.page(order_by=order, page_size=4, page_token=second.next_page_token)
    assert [book.name for book in third.books] == names[15:19]
    with pytest.raises(StatusError) as caught:
        await books.page(skip=-1)
    assert caught.value.violations[0].field == "skip"


async def test_a_total_is_of_all_pages_and_only_where_it_is_asked_for(books: Books) -> None:
    """`total_size` counts what the filter leaves below the parent, and is unset unless asked for; or estimated."""
    await books.add(random.Random(19), 40)
    wanted = sum(row["pages"] > 0 for row in books.rows.values())
    for fields in ({}, {"order_by": "pages desc"}, {"skip": 3}):
        page = await books.page(page_size=2, return_total_size=True, filter="pages > 0", **fields)
        assert (page.total_size, page.HasField("estimated_total_size")) == (wanted, False)
        order = fields.get("order_by")
        following = await books.page(page_token=page.next_page_token, filter="pages > 0", order_by=order)
        assert not following.HasField("total_size")
    empty = await books.page(return_total_size=True, filter="pages = 7")
    assert (empty.HasField("total_size"), empty.total_size) == (True, 0)
    # Past the bound there is an estimate in its place, which is at least the bound.
    await books.add(random.Random(23), 80)
    if books.database.backend.name == "postgresql":
        async with books.database.engine.begin() as connection:
            await connection.exec_driver_sql("ANALYZE books")
    page = await books.page(return_total_size=True)
    assert not page.HasField("total_size")
    assert 50 < page.estimated_total_size <= 240
