"""Read masks of books on both databases: columns of a message, items, JSON and maps, in any combination."""

from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tablestakes.testing.projection import paths_of, projected
from tablestakes.testing.sample import sample
from tests.library.service import SERVICE
from tests.library.stubs import library_pb2, library_service_pb2, library_service_pb2_grpc

TESTED_SERVICE = SERVICE

PATHS = [*paths_of(library_pb2.Book.DESCRIPTOR, 3), ("labels", "red"), ("labels", "nothing"), ("labels", "*")]

known: dict[int, list[Any]] = {}
"""By server, books with everything, with nothing, and with a price that is empty."""


async def books(library: Any) -> list[Any]:
    """Return three books that are on the server."""
    shelf = await library.CreateShelf(library_service_pb2.CreateShelfRequest(shelf={"theme": "Masks"}))
    full = sample(library_pb2.Book)
    full.labels.update({"red": "1", "green": "2"})
    full.title = "Full"
    made = []
    for book in (full, library_pb2.Book(title="Empty"), library_pb2.Book(title="Free", price={}, chapters=[{}])):
        if book.title == "Free":
            book.chapters[0].heading = "One"
        request = library_service_pb2.CreateBookRequest(parent=shelf.name, book=book)
        made.append(await library.CreateBook(request))
    return made


@pytest.mark.asyncio(loop_scope="session")
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(st.sampled_from(PATHS), min_size=1, max_size=8))
async def test_a_mask_is_read_as_plain_python_says(
    channel: grpc.aio.Channel, chosen: list[tuple[str, ...]]
) -> None:
    """BatchGet returns of each book what plain Python copies of it, whatever the mask."""
    library = library_service_pb2_grpc.LibraryServiceStub(channel)
    if id(channel) not in known:
        known[id(channel)] = await books(library)
    stored = known[id(channel)]
    request = library_service_pb2.BatchGetBooksRequest(
        names=[each.name for each in stored], read_mask={"paths": [".".join(path) for path in chosen]}
    )
    answer = await library.BatchGetBooks(request)
    assert list(answer.books) == [projected(each, chosen) for each in stored]
