"""Who listens for the writes of a resource is told of each, in its transaction."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from sqlalchemy import text

from tablestakes.app import App
from tablestakes.crud.session import Session
from tablestakes.crud.written import Written
from tablestakes.testing.serving import serving, settings_for
from tests.library.service import SERVICE
from tests.library.stubs import library_service_pb2 as service
from tests.library.stubs import library_service_pb2_grpc

TESTED_SERVICE = SERVICE

Stub = Any
REFUSED = "refused by the listener"


def note(session: Session, written: Written) -> None:
    """Keep a write in a table, on the connection of the write."""
    if written.row is not None and getattr(written.row, "theme", "") == REFUSED:
        raise ValueError(REFUSED)
    ids = "/".join(map(str, written.key))
    statement = text("INSERT INTO history (message, kind, ids) VALUES (:message, :kind, :ids)")
    message = written.message.rpartition(".")[2]
    session.connection.execute(statement, {"message": message, "kind": written.kind, "ids": ids})


@pytest.fixture
async def heard(empty_url: str) -> AsyncIterator[tuple[App, Stub]]:
    """A library with a listener on each of its resources, and its stub."""
    resources = tuple(replace(each, on_write=(note,)) for each in SERVICE.resources)
    noted = replace(SERVICE, resources=resources)
    async with (
        serving(noted, settings_for(noted, empty_url)) as app,
        grpc.aio.insecure_channel(app.address) as channel,
    ):
        table = text("CREATE TABLE history (message VARCHAR(40), kind VARCHAR(40), ids VARCHAR(200))")
        await app.database.transact(lambda connection: connection.execute(table).close())
        yield app, library_service_pb2_grpc.LibraryServiceStub(channel)


async def history(app: App) -> list[tuple[str, ...]]:
    """Return what was kept, and forget it."""

    def work(connection: Any) -> list[tuple[str, ...]]:
        rows = connection.execute(text("SELECT message, kind, ids FROM history")).all()
        connection.execute(text("DELETE FROM history"))
        return sorted(tuple(row) for row in rows)

    return await app.database.transact(work)


def ids(*resources: Any) -> list[str]:
    """Return the ids in the names of resources, as the history has them."""
    return ["/".join(each.name.split("/")[1::2]) for each in resources]


async def test_each_write_is_told_once(heard: tuple[App, Stub]) -> None:
    """Creates, Updates, batches and Deletes tell of each resource that they write, and of no other."""
    app, library = heard
    shelf = await library.CreateShelf(service.CreateShelfRequest(shelf={"theme": "first"}))
    (shelf_id,) = ids(shelf)
    assert await history(app) == [("Shelf", "created", shelf_id)]
    await library.UpdateShelf(service.UpdateShelfRequest(shelf={"name": shelf.name, "theme": "second"}))
    assert await history(app) == [("Shelf", "updated", shelf_id)]
    books = [{"parent": shelf.name, "book": {"title": title}} for title in ("one", "two")]
    made = (await library.BatchCreateBooks(service.BatchCreateBooksRequest(requests=books))).books
    assert await history(app) == sorted(("Book", "created", each) for each in ids(*made))
    await library.DeleteShelf(service.DeleteShelfRequest(name=shelf.name, force=True))
    gone = [*sorted(("Book", "deleted", each) for each in ids(*made)), ("Shelf", "deleted", shelf_id)]
    assert await history(app) == gone
    await library.UndeleteShelf(service.UndeleteShelfRequest(name=shelf.name))
    assert await history(app) == [(message, "undeleted", each) for message, _, each in gone]
    await library.DeleteShelf(service.DeleteShelfRequest(name=shelf.name, force=True))
    await history(app)
    await library.PurgeShelves(service.PurgeShelvesRequest(filter="*", force=True))
    assert await history(app) == [(m, "purged" if m == "Shelf" else "deleted", each) for m, _, each in gone]


async def test_a_write_that_takes_no_effect_is_not_told(heard: tuple[App, Stub]) -> None:
    """A write that is refused, rehearsed or repeated leaves nothing that a listener wrote."""
    app, library = heard
    shelf = await library.CreateShelf(service.CreateShelfRequest(shelf={"theme": "kept"}))
    await history(app)
    change = {"name": shelf.name, "theme": "changed"}
    await library.UpdateShelf(service.UpdateShelfRequest(shelf=change, validate_only=True))
    for refused in (
        library.UpdateShelf(service.UpdateShelfRequest(shelf={**change, "etag": '"1"'})),
        library.CreateShelf(service.CreateShelfRequest(shelf={"theme": "kept"})),
    ):
        with pytest.raises(grpc.aio.AioRpcError):
            await refused
    assert await history(app) == []
    id_ = "6f1e2c9a-5f63-4a7e-9c29-2d3c5a0f9b11"
    for _ in range(2):
        await library.UpdateShelf(service.UpdateShelfRequest(shelf=change, request_id=id_))
    assert await history(app) == [("Shelf", "updated", *ids(shelf))]


async def test_a_listener_that_fails_undoes_the_write(heard: tuple[App, Stub]) -> None:
    """A write whose listener raises is not there, and the caller is told of a fault of the service."""
    app, library = heard
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await library.CreateShelf(service.CreateShelfRequest(shelf={"theme": REFUSED}))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert REFUSED not in str(caught.value)
    assert not (await library.ListShelves(service.ListShelvesRequest())).shelves
    assert await history(app) == []
