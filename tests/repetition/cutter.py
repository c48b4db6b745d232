"""A proxy between a service and PostgreSQL that cuts connections at the three moments that matter to a write."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

# The state in which PostgreSQL waits for a first statement: ReadyForQuery, idle.
READY = b"Z\x00\x00\x00\x05I"
Side = tuple[asyncio.StreamReader, asyncio.StreamWriter]
MOMENTS = ("before a statement", "after a statement", "after COMMIT")


@dataclass
class Cutter:
    """Passes bytes on, and cuts some connections.

    A driver sends what belongs to one round trip at once. A cut before a statement loses what was sent; one after
    it lets the server see it, and loses the answer, which has arrived here: it was done.

    Attributes:
        port: Where it listens.
        share: The share of the round trips that it cuts; none while it is 0.
        cuts: How many it cut, by their moment.
    """

    share: float = 0.0
    port: int = 0
    cuts: Counter[str] = field(default_factory=Counter)
    chance: random.Random = field(default_factory=lambda: random.Random(13))

    def moment(self, sent: bytes) -> str:
        """Return the moment at which to cut in a round trip, "" for none."""
        if self.chance.random() >= self.share:
            return ""
        if b"COMMIT;" in sent:  # and not the READ COMMITTED of a BEGIN
            return self.chance.choice(("before a statement", "after COMMIT", "after COMMIT"))
        return self.chance.choice(MOMENTS[:2])


class Passage:
    """One connection through a proxy.

    Args:
        cutter: The proxy.
        client: The client's side.
        server: The server's.
    """

    def __init__(self, cutter: Cutter, client: Side, server: Side) -> None:
        self._cutter = cutter
        self._client = client
        self._server = server
        self._ready = False
        self._cut = ""

    async def pass_on(self) -> None:
        """Pass on what both say, until one of them leaves or the connection is cut."""
        ways = [asyncio.ensure_future(way) for way in (self._back(), self._forth())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for _, writer in (self._client, self._server):
                writer.transport.abort()

    async def _back(self) -> None:
        seen = b""
        while data := await self._server[0].read(1 << 16):
            if self._cut:
                return  # the answer is here, so it was done
            seen = (seen + data)[-64:]
            self._ready = self._ready or READY in seen
            self._client[1].write(data)

    async def _forth(self) -> None:
        while data := await self._client[0].read(1 << 16):
            self._cut = self._cutter.moment(data) if self._ready else ""
            if self._cut:
                self._cutter.cuts[self._cut] += 1
            if self._cut == MOMENTS[0]:
                return
            self._server[1].write(data)
            if self._cut:
                await asyncio.Event().wait()  # `_back` ends it


@asynccontextmanager
async def cutting(host: str, port: int) -> AsyncIterator[Cutter]:
    """Run a proxy to a server, which cuts nothing until it is told to."""
    cutter = Cutter()
    under_way: set[asyncio.Task[None]] = set()

    async def serve(*client: Any) -> None:
        await Passage(cutter, client, await asyncio.open_connection(host, port)).pass_on()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    cutter.port = server.sockets[0].getsockname()[1]
    try:
        yield cutter
    finally:
        server.close()
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
