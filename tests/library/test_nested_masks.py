"""Update masks with paths into messages, kept in columns, in JSON and by the service's own codec (AIP-161)."""

import asyncio
import itertools
from typing import Any

import grpc
import pytest

from tablestakes.testing.status import Refusal, refusal
from tests.library.service import SERVICE
from tests.library.stubs import library_service_pb2 as service
from tests.library.stubs import library_service_pb2_grpc

TESTED_SERVICE = SERVICE

Stub = Any
_numbers = itertools.count(1)


@pytest.fixture
def library(channel: grpc.aio.Channel) -> Stub:
    """The stub of the library."""
    return library_service_pb2_grpc.LibraryServiceStub(channel)


async def shelf(library: Stub) -> Any:
    """Create a shelf with a place that has another one in it."""
    place = {"room": "Hall", "floor": 2, "signs": ["A", "B"], "inner": {"room": "Niche", "floor": 1}}
    made = {"theme": f"nested {next(_numbers)}", "place": place, "size": {"width": 90, "height": 200}}
    return await library.CreateShelf(service.CreateShelfRequest(shelf=made))


async def update(library: Stub, stored: Any, *paths: str, **fields: Any) -> Any:
    """Update a shelf by a mask."""
    request = service.UpdateShelfRequest(shelf={"name": stored.name, **fields}, update_mask={"paths": paths})
    return await library.UpdateShelf(request)


async def refused(call: Any) -> Refusal:
    """Return the status of a call, which must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)


async def test_a_path_writes_one_field_of_a_message(library: Stub) -> None:
    """Only the fields that the paths name are written, at any depth, and all others stay as they are."""
    stored = await shelf(library)
    sent = {"floor": 7, "room": "ignored", "inner": {"room": "Corner", "floor": 9}}
    changed = await update(
        library, stored, "place.floor", "place.inner.room", "size.width", place=sent, size={"width": 60}
    )
    assert (changed.place.room, changed.place.floor, list(changed.place.signs)) == ("Hall", 7, ["A", "B"])
    assert (changed.place.inner.room, changed.place.inner.floor) == ("Corner", 1)
    assert (changed.size.width, changed.size.height) == (60, 200)
    assert changed.theme == stored.theme
    assert changed.etag != stored.etag
    assert await library.GetShelf(service.GetShelfRequest(name=stored.name)) == changed


async def test_a_path_to_nothing_clears_a_field(library: Stub) -> None:
    """A field that the mask names and the caller does not send is cleared; an absent message is not made for it."""
    stored = await shelf(library)
    cleared = await update(library, stored, "place.signs", "place.inner")
    assert (cleared.place.room, list(cleared.place.signs), cleared.place.HasField("inner")) == ("Hall", [], False)
    again = await update(library, cleared, "place.inner.floor")
    assert not again.place.HasField("inner")
    whole = await update(library, again, "place")
    assert not whole.HasField("place")
    assert not (await update(library, whole, "place.floor")).HasField("place")


async def test_columns_of_other_fields_are_not_touched(library: Stub) -> None:
    """A path into a message that columns keep writes its column, and makes a message where there was none."""
    parent = (await shelf(library)).name
    price = {"currency_code": "EUR", "units": 12, "nanos": 500_000_000}
    book = {"title": "Emma", "price": price}
    stored = await library.CreateBook(service.CreateBookRequest(parent=parent, book=book))
    request = service.UpdateBookRequest(
        book={"name": stored.name, "price": {"units": 15}}, update_mask={"paths": ["price.units"]}
    )
    changed = await library.UpdateBook(request)
    assert (changed.price.currency_code, changed.price.units, changed.price.nanos) == ("EUR", 15, 500_000_000)


async def test_concurrent_paths_into_one_message_are_all_written(library: Stub) -> None:
    """Two Updates of different fields of one message at the same time lose nothing of each other."""
    stored = await shelf(library)
    calls = [
        update(library, stored, path, place={"room": f"Room {number}", "floor": number})
        for number in range(1, 9)
        for path in ("place.room", "place.floor")
    ]
    await asyncio.gather(*calls)
    last = (await library.GetShelf(service.GetShelfRequest(name=stored.name))).place
    assert last.room.startswith("Room ")
    assert last.floor in range(1, 9)
    assert list(last.signs) == ["A", "B"]


async def test_a_stale_etag_and_nothing_are_told(library: Stub) -> None:
    """A path into a message is written on the version of the etag alone, and of what exists."""
    stored = await shelf(library)
    await update(library, stored, "theme", theme=f"nested {next(_numbers)}")
    answer = await refused(update(library, stored, "place.floor", place={"floor": 1}, etag=stored.etag))
    assert answer.info.reason == "ETAG_MISMATCH"
    await library.DeleteShelf(service.DeleteShelfRequest(name=stored.name))
    answer = await refused(update(library, stored, "place.floor", place={"floor": 1}))
    assert answer.code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("path", "reason", "said"),
    [
        ("place.flor", "UNKNOWN_FIELD", "did you mean floor?"),
        ("place.inner.rom", "UNKNOWN_FIELD", "did you mean room?"),
        ("place.signs.x", "INVALID_FIELD_MASK", "written as a whole"),
        ("theme.x", "INVALID_FIELD_MASK", "written as a whole"),
        ("keepers.x", "INVALID_FIELD_MASK", "written as a whole"),
    ],
)
async def test_a_wrong_path_is_named(library: Stub, path: str, reason: str, said: str) -> None:
    """A path into nothing is INVALID_ARGUMENT on the mask, with the name that was probably meant."""
    answer = await refused(update(library, await shelf(library), path))
    assert answer.reasons == {"update_mask": reason}
    assert said in answer.fields["update_mask"]


async def test_batches_write_inside_of_messages(library: Stub) -> None:
    """Items of a batch have paths of their own into messages, beside others that write other fields."""
    first, second = await shelf(library), await shelf(library)
    requests = [
        {"shelf": {"name": first.name, "place": {"floor": 5}}, "update_mask": {"paths": ["place.floor"]}},
        {"shelf": {"name": second.name, "size": {"height": 9}}, "update_mask": {"paths": ["size.height"]}},
    ]
    answer = await library.BatchUpdateShelves(service.BatchUpdateShelvesRequest(requests=requests))
    one, two = answer.shelves
    assert (one.place.floor, one.place.room, one.size.height) == (5, "Hall", 200)
    assert (two.place.floor, two.size.width, two.size.height) == (2, 90, 9)
