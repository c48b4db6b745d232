"""What was deleted together goes together: a shelf not before the books on it; and functions do not see it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from sqlalchemy import select, update

from tablestakes.app import App
from tablestakes.crud.expired import Expired
from tablestakes.crud.once import CLOCK_SKEW
from tablestakes.crud.query.token import PageTokens
from tablestakes.testing.serving import serving, settings_for
from tablestakes.testing.status import refusal
from tests.library.models import Book, Note, Shelf
from tests.library.service import SERVICE
from tests.library.stubs import library_service_pb2 as requests
from tests.library.stubs import library_service_pb2_grpc

TESTED_SERVICE = SERVICE
LONG_AGO = CLOCK_SKEW + timedelta(minutes=1)


def sweep_of(resource: str) -> Expired:
    """Return what removes expired ones of a resource."""
    schema = next(each.schema for each in SERVICE.bind(PageTokens(b"")) if each.name == f"Get{resource}")
    assert schema.removal is not None
    return Expired(resource, schema.removal)


async def expire(app: App, model: Any, ago: timedelta) -> None:
    """Make the deleted rows of a table expire some time ago."""
    change = update(model).where(model.delete_time.is_not(None)).values(expire_time=datetime.now(UTC) - ago)
    await app.database.transact(lambda connection: connection.execute(change).close())


async def counts(app: App) -> list[int]:
    """Return how many shelves, books and notes have rows."""

    def count(connection: Any) -> list[int]:
        return [len(connection.execute(select(model.id)).all()) for model in (Shelf, Book, Note)]

    return await app.database.run(count, reads=True)


async def test_a_shelf_stays_until_its_books_have_expired(empty_url: str) -> None:
    """A sweep leaves a shelf of which a book has not expired, and removes all of them at once when it has."""
    async with (
        serving(SERVICE, settings_for(SERVICE, empty_url)) as app,
        grpc.aio.insecure_channel(app.address) as channel,
    ):
        library: Any = library_service_pb2_grpc.LibraryServiceStub(channel)
        shelf = await library.CreateShelf(requests.CreateShelfRequest(shelf={"theme": "Novels"}))
        book = await library.CreateBook(requests.CreateBookRequest(parent=shelf.name, book={"title": "Emma"}))
        note = requests.CreateNoteRequest(
            parent=book.name, note={"text": "Quite."}, note_id="01a211dd-941d-72c6-99d4-ffd327982030"
        )
        await library.CreateNote(note)
        await library.DeleteShelf(requests.DeleteShelfRequest(name=shelf.name, force=True))
        await expire(app, Shelf, LONG_AGO)
        assert await sweep_of("Shelf").sweep(app.database) == 0
        assert await counts(app) == [1, 1, 1]
        await expire(app, Book, LONG_AGO)
        assert await sweep_of("Shelf").sweep(app.database) == 1
        assert await counts(app) == [0, 0, 0]


async def test_a_deleted_book_cannot_be_lent(empty_url: str) -> None:
    """A method of the service's own finds no deleted resource, with its etag or without."""
    async with (
        serving(SERVICE, settings_for(SERVICE, empty_url)) as app,
        grpc.aio.insecure_channel(app.address) as channel,
    ):
        library: Any = library_service_pb2_grpc.LibraryServiceStub(channel)
        card = "00000000-0000-4000-9000-000000000001"
        reader = await library.CreateReader(
            requests.CreateReaderRequest(reader={"display_name": "Harriet", "card": card})
        )
        shelf = await library.CreateShelf(requests.CreateShelfRequest(shelf={"theme": "Novels"}))
        book = await library.CreateBook(requests.CreateBookRequest(parent=shelf.name, book={"title": "Emma"}))
        deleted = await library.DeleteBook(requests.DeleteBookRequest(name=book.name))
        for etag in ("", deleted.etag):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await library.LendBook(requests.LendBookRequest(name=book.name, borrower=reader.name, etag=etag))
            assert refusal(caught.value).code is grpc.StatusCode.NOT_FOUND
        await library.UndeleteBook(requests.UndeleteBookRequest(name=book.name))
        lent = await library.LendBook(requests.LendBookRequest(name=book.name, borrower=reader.name))
        assert lent.borrower == reader.name
