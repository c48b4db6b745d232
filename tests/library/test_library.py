"""The library's own: its key, its lending, its codec, and kinds of fields that the marketplace has not."""

import itertools
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from sqlalchemy import Connection, Select, select

from tablestakes.app import App
from tablestakes.testing.serving import serving, settings_for
from tablestakes.testing.status import Refusal, refusal
from tests.library.models import Book, Shelf
from tests.library.service import SERVICE
from tests.library.stubs import library_pb2, library_service_pb2, library_service_pb2_grpc

TESTED_SERVICE = SERVICE

SECRET = "the librarian's key"
Stub = Any
_numbers = itertools.count(1)


@pytest.fixture
def library(channel: grpc.aio.Channel) -> Stub:
    """The stub of the library, which lets everyone in."""
    return library_service_pb2_grpc.LibraryServiceStub(channel)


@pytest.fixture
async def locked(empty_url: str) -> AsyncIterator[Stub]:
    """The stub of a library that asks for a key."""
    settings = settings_for(SERVICE, empty_url, api_key=SECRET)
    async with serving(SERVICE, settings) as app, grpc.aio.insecure_channel(app.address) as connected:
        yield library_service_pb2_grpc.LibraryServiceStub(connected)


async def shelved(library: Stub, **fields: Any) -> Any:
    """Create a shelf and a book on it."""
    theme = f"theme {next(_numbers)}"
    shelf = await library.CreateShelf(library_service_pb2.CreateShelfRequest(shelf={"theme": theme}))
    book = library_pb2.Book(**{"title": "Emma"} | fields)
    return await library.CreateBook(library_service_pb2.CreateBookRequest(parent=shelf.name, book=book))


async def reader(library: Stub) -> str:
    """Create a reader, and return its name."""
    made = library_pb2.Reader(display_name="Harriet", card=f"00000000-0000-4000-9000-{next(_numbers):012}")
    name: str = (await library.CreateReader(library_service_pb2.CreateReaderRequest(reader=made))).name
    return name


async def lend(library: Stub, book: str, borrower: str, *, validate_only: bool = False, etag: str = "") -> Any:
    """Lend a book."""
    request = library_service_pb2.LendBookRequest(
        name=book, borrower=borrower, validate_only=validate_only, etag=etag
    )
    return await library.LendBook(request)


async def refused(call: Any) -> Refusal:
    """Return the status of a call, which must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)


async def get_book(library: Stub, name: str) -> Any:
    """Get a book."""
    return await library.GetBook(library_service_pb2.GetBookRequest(name=name))


def _row(statement: Select[*tuple[Any, ...]], connection: Connection) -> tuple[Any, ...]:
    return tuple(connection.execute(statement).one())


async def test_a_book_is_lent_by_its_etag(library: Stub) -> None:
    """A function that knows nothing of etags is not run for a stale one, and is for the current one."""
    book, borrower = await shelved(library), await reader(library)
    answer = await refused(lend(library, book.name, borrower, etag='"1"'))
    assert (answer.code, answer.info.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert dict(answer.info.metadata) == {"resource": book.name, "etag": book.etag}
    assert await library.GetBook(library_service_pb2.GetBookRequest(name=book.name)) == book
    nothing = f"{book.name.rpartition('/')[0]}/00000000-0000-4000-9000-000000000000"
    assert (await refused(lend(library, nothing, borrower, etag=book.etag))).code is grpc.StatusCode.NOT_FOUND
    lent = await lend(library, book.name, borrower, etag=book.etag)
    assert lent.borrower == borrower
    assert lent.etag != book.etag


async def test_nobody_comes_in_without_the_key(locked: Stub) -> None:
    """A call without the key, or with another, is UNAUTHENTICATED, whatever its request."""
    request = library_service_pb2.ListShelvesRequest()
    for metadata in ((), (("x-api-key", "another"),)):
        answer = await refused(locked.ListShelves(request, metadata=metadata))
        assert (answer.code, answer.info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "API_KEY_INVALID")
    assert len((await locked.ListShelves(request, metadata=(("x-api-key", SECRET),))).shelves) == 0


async def test_who_created_and_who_changed_is_kept(locked: Stub) -> None:
    """A row says who made it and who changed it last, as the gate knows them."""
    key = (("x-api-key", SECRET),)
    request = library_service_pb2.CreateShelfRequest(shelf={"theme": "Novels"})
    shelf = await locked.CreateShelf(request, metadata=key)
    assert (shelf.created_by, shelf.updated_by) == ("librarian", "librarian")
    change = library_service_pb2.UpdateShelfRequest(shelf={"name": shelf.name, "theme": "Poems", "created_by": "x"})
    changed = await locked.UpdateShelf(change, metadata=key)
    assert (changed.created_by, changed.updated_by) == ("librarian", "librarian")


async def test_without_a_gate_nobody_is_known(library: Stub) -> None:
    """Where no key is set everyone comes in, and a row does not say who made it."""
    request = library_service_pb2.CreateShelfRequest(shelf={"theme": "Anonymous"})
    assert (await library.CreateShelf(request)).created_by == ""


async def test_a_rehearsed_lending_lends_nothing(library: Stub) -> None:
    """LendBook with validate_only answers with the book as it would be, and nobody has it."""
    book, borrower = await shelved(library), await reader(library)
    answer = await lend(library, book.name, borrower, validate_only=True)
    assert answer.borrower == borrower
    assert await get_book(library, book.name) == book
    assert (await lend(library, book.name, borrower)).borrower == borrower


async def test_a_rehearsed_lending_is_refused_as_a_real_one(library: Stub) -> None:
    """LendBook with validate_only has the errors of one without: of the state, of the name and of the reader."""
    book, borrower = await shelved(library), await reader(library)
    nobody = "readers/00000000-0000-4000-8000-00000000dead"
    nothing = f"{book.name.rpartition('/')[0]}/00000000-0000-4000-8000-00000000dead"
    for validate_only in (True, False):
        answer = await refused(lend(library, book.name, nobody, validate_only=validate_only))
        assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
        assert answer.reasons == {"borrower": "REFERENCE_NOT_FOUND"}
        answer = await refused(lend(library, nothing, borrower, validate_only=validate_only))
        assert answer.code is grpc.StatusCode.NOT_FOUND
    await lend(library, book.name, borrower)
    for validate_only in (True, False):
        answer = await refused(lend(library, book.name, borrower, validate_only=validate_only))
        assert (answer.code, answer.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LENT")


async def test_a_book_is_lent_once_by_one_id(library: Stub) -> None:
    """A repeated LendBook, which is no standard method, is answered as the first, and not as one of a lent book."""
    book, borrower = await shelved(library), await reader(library)
    request = library_service_pb2.LendBookRequest(name=book.name, borrower=borrower, request_id=str(uuid4()))
    assert await library.LendBook(request) == await library.LendBook(request)


async def test_the_services_own_codec_keeps_a_size_as_text(library: Stub, app: App) -> None:
    """The column of a shelf's size has the text that the library's codec makes of it."""
    shelf = {"theme": "Folios", "size": {"width": 90, "height": 200}}
    created = await library.CreateShelf(library_service_pb2.CreateShelfRequest(shelf=shelf))
    assert created.size == library_pb2.Size(width=90, height=200)
    statement = select(Shelf.size).where(Shelf.theme == "Folios")
    assert await app.database.run(lambda connection: connection.scalar(statement)) == "90x200"


async def test_a_message_is_kept_in_columns(library: Stub, app: App) -> None:
    """Each field of a price has a column of its own, and a book without one has NULL in all of them."""
    for price, kept in (
        ({"currency_code": "EUR", "units": 12, "nanos": 500_000_000}, ("EUR", 12, 500_000_000)),
        (None, (None, None, None)),
    ):
        book = await shelved(library, price=price)
        assert book.HasField("price") == (price is not None)
        columns = select(Book.price_currency_code, Book.price_units, Book.price_nanos)
        found = columns.where(Book.id == UUID(book.name.rpartition("/")[2]))
        assert await app.database.run(partial(_row, found)) == kept


async def test_items_keep_their_order(library: Stub) -> None:
    """Chapters come back in the order in which they were sent, and an Update replaces them all."""
    headings = ["c", "a", "b", "a"]
    book = await shelved(library, chapters=[{"heading": each, "first_page": 9} for each in headings])
    assert [chapter.heading for chapter in book.chapters] == headings
    change = library_pb2.Book(name=book.name, chapters=[{"heading": "z", "topics": ["y", "x"]}, {"heading": "a"}])
    request = library_service_pb2.UpdateBookRequest(book=change, update_mask={"paths": ["chapters"]})
    after = await library.UpdateBook(request)
    assert after.chapters == change.chapters
    assert await get_book(library, book.name) == after


async def test_decimals_are_kept_to_the_last(library: Stub) -> None:
    """A weight comes back with the decimals of its column, and one with more decimals is refused by its field."""
    assert (await shelved(library, weight={"value": "0.1"})).weight.value == "0.100"
    answer = await refused(shelved(library, weight={"value": "0.1234"}))
    assert answer.reasons == {"book.weight": "TOO_MANY_DECIMALS"}


async def test_a_checked_value_is_refused_by_its_field(library: Stub) -> None:
    """A value that only the database refuses is INVALID_ARGUMENT on its field."""
    answer = await refused(shelved(library, pages=100_000))
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.reasons == {"book.pages": "VALUE_NOT_ALLOWED"}


async def test_a_message_that_contains_itself_is_kept(library: Stub) -> None:
    """A place inside a place comes back as it was sent."""
    place = {"room": "hall", "inner": {"room": "corner", "inner": {"floor": 3, "signs": ["a", "b"]}}}
    created = await library.CreateShelf(
        library_service_pb2.CreateShelfRequest(shelf={"theme": "Deep", "place": place})
    )
    assert created.place == library_pb2.Place(**place)


def test_the_settings_have_the_services_own_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting of the service's own is read from the environment under the service's prefix."""
    monkeypatch.setenv("LIBRARY_API_KEY", SECRET)
    monkeypatch.setenv("TABLESTAKES_API_KEY", "another's")
    assert SERVICE.settings.load(database_url="sqlite:///x.db").api_key.get_secret_value() == SECRET  # type: ignore[attr-defined]
