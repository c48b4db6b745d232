"""A proxy between a service and PostgreSQL that cuts connections at the three moments that matter to a write."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

# The state in which PostgreSQL waits for a first statement: ReadyForQuery, idle.
READY = b"Z\x00\x00\x00\x05I"
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

    target: tuple[str, int]
    share: float = 0.0
    port: int = 0
    cuts: Counter[str] = field(default_factory=Counter)
    chance: random.Random = field(default_factory=lambda: random.Random(13))  # noqa: S311 - cuts are no secrets

    def _moment(self, sent: bytes) -> str:
        """Return the moment at which to cut in a round trip, "" for none."""
        if self.chance.random() >= self.share:
            return ""
        if b"COMMIT;" in sent:  # and not the READ COMMITTED of a BEGIN
            return self.chance.choice(("before a statement", "after COMMIT", "after COMMIT"))
        return self.chance.choice(MOMENTS[:2])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what one client and the server say, until one of them leaves or it is cut."""
        server_reader, server_writer = await asyncio.open_connection(*self.target)
        cut = ""
        ready = asyncio.Event()

        async def back() -> None:
            seen = b""
            while data := await server_reader.read(1 << 16):
                if cut:
                    return  # the answer is here, so it was done
                seen = (seen + data)[-64:]
                if READY in seen:
                    ready.set()
                writer.write(data)

        async def forth() -> None:
            nonlocal cut
            while data := await reader.read(1 << 16):
                moment = self._moment(data) if ready.is_set() else ""
                if moment:
                    self.cuts[moment] += 1
                if moment == "before a statement":
                    return
                cut = moment
                server_writer.write(data)
                if cut:
                    await ended[0]
                    return

        ended = [asyncio.ensure_future(back())]
        ended.append(asyncio.ensure_future(forth()))
        try:
            await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in ended:
                each.cancel()
            await asyncio.gather(*ended, return_exceptions=True)
            for each in (writer, server_writer):
                each.transport.abort()


@asynccontextmanager
async def cutting(host: str, port: int) -> AsyncIterator[Cutter]:
    """Run a proxy to a server, which cuts nothing until it is told to."""
    cutter = Cutter((host, port))
    under_way: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(cutter.serve(reader, writer))
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
