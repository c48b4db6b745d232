"""Reading a page, in bounded memory and within the bytes that can be sent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import Connection, Row

from tablestakes.crud.query.page import CHUNK, MAX_BYTES
from tablestakes.crud.schema.view import View


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        messages: Its resources.
        last: The row of the last one, where there is another page; else None.
    """

    messages: list[Message]
    last: Row[Any] | None


def read_page(
    connection: Connection, view: View, rows: Callable[[Row[Any] | None, int], Sequence[Row[Any]]], size: int
) -> Page:
    """Read a page that ends with its size, or with the last resource that fits into MAX_BYTES, at least with one.

    Args:
        connection: What collections are read on.
        view: The view.
        rows: Returns so many rows after one, from the start of the page for None.
        size: How many resources it has at most.
    """
    messages: list[Message] = []
    used, limit = 0, min(size, CHUNK)
    last: Row[Any] | None = None
    while True:
        # One row more than is wanted says whether there is another page.
        found = rows(last, limit + 1)
        for row, message in zip(found[:limit], view.messages(connection, found[:limit]), strict=True):
            used += message.ByteSize()
            if used > MAX_BYTES and messages:
                return Page(messages, last)
            messages.append(message)
            last = row
        if len(found) <= limit:
            return Page(messages, None)
        if len(messages) == size:
            return Page(messages, last)
        fitting = (MAX_BYTES - used) * len(messages) // max(used, 1)
        limit = min(size - len(messages), max(fitting, 1))
