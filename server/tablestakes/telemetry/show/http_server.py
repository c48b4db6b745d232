"""A small HTTP server in a thread of its own: bounded in connections, in time and in memory."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from threading import Event, Thread

import h11

_log = logging.getLogger("tablestakes.telemetry")

MAX_CONNECTIONS = 64
"""One more closes the one that has been silent for longest, or is closed itself if all are being answered."""
BACKLOG = 128
"""Connections that the kernel keeps until they are accepted."""
MAX_HEAD = 16 << 10
"""Bytes of a request's line and headers."""
HEAD_SECONDS = 5.0
"""How long a new connection may take for TLS and for its first request."""
IDLE_SECONDS = 75.0
"""How long a connection may take for each further request; a scraper keeps it between scrapes."""
SEND_SECONDS = 10.0
"""How long a client may take for a response."""
_CERTIFICATE_SECONDS = 60.0


@dataclass(frozen=True)
class Request:
    """A request without its body.

    Attributes:
        method: Such as `GET`.
        path: Its path, percent-encoded as it came.
        query: What follows the `?`, "" for nothing.
        headers: Its headers by lower-case name; of a repeated one the last value.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Response:
    """A response.

    Attributes:
        status: Its status.
        headers: Its headers but `Content-Length` and `Connection`.
        body: Its body, which a response to HEAD leaves out.
    """

    status: HTTPStatus
    headers: Sequence[tuple[str, str]]
    body: bytes

    @staticmethod
    def plain(status: HTTPStatus, reason: str = "", headers: Sequence[tuple[str, str]] = ()) -> "Response":
        """Return a response whose body is a line of text, the name of the status if no reason is given."""
        line = reason or f"{status.value} {status.phrase}"
        return Response(status, [("Content-Type", "text/plain; charset=utf-8"), *headers], f"{line}\n".encode())


class HttpServer:
    """Answers HTTP/1.1 on an event loop in a daemon thread; a slow client costs a connection and no thread.

    Args:
        listener: A socket that is bound.
        answer: Answers a request, on the thread's event loop. Its exceptions are logged and answered with 500.
        tls: The context of TLS, None for none.
        renew: Loads the certificate again, and is called when that may have changed; None without TLS.
        name: The name of the thread.
    """

    def __init__(
        self,
        listener: socket.socket,
        answer: Callable[[Request], Awaitable[Response]],
        *,
        tls: ssl.SSLContext | None = None,
        renew: Callable[[], None] | None = None,
        name: str = "http",
    ) -> None:
        self._listener = listener
        self._answer = answer
        self._tls = tls
        self._renew = renew
        # Those that wait for a request, in the order in which they began to, are closed first.
        self._silent: dict[asyncio.Task[None], None] = {}
        self._connections: set[asyncio.Task[None]] = set()
        listener.listen(BACKLOG)
        listener.setblocking(False)
        self._loop = asyncio.SelectorEventLoop()
        self._loop.set_exception_handler(_ignore)
        self._stopping = asyncio.Event()
        self._started = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._started.wait()

    def close(self) -> None:
        """Close every connection and free the port; a second call does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        tasks = [asyncio.ensure_future(self._accept())]
        if self._renew is not None:
            tasks.append(asyncio.ensure_future(self._renewing(self._renew)))
        self._started.set()
        await self._stopping.wait()
        self._listener.close()
        for task in (*tasks, *self._connections):
            task.cancel()
        await asyncio.wait((*tasks, *self._connections))

    async def _renewing(self, renew: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(_CERTIFICATE_SECONDS)
            try:
                renew()
            except OSError as error:  # it is being replaced, or the new one is wrong: the old one goes on
                _log.warning("the certificate of the metrics was not loaded again", extra={"reason": str(error)})

    async def _accept(self) -> None:
        while True:
            try:
                peer, _ = await self._loop.sock_accept(self._listener)
            except OSError:  # the process has no file descriptor left
                _log.debug("a connection was not accepted", exc_info=True)
                await asyncio.sleep(0.1)
                continue
            if len(self._connections) >= MAX_CONNECTIONS and not self._close_one():
                peer.close()
                continue
            task = self._loop.create_task(self._connection(peer))
            self._connections.add(task)
            self._silent[task] = None
            task.add_done_callback(self._ended)
            await asyncio.sleep(0)  # sock_accept does not yield while there are connections to accept

    def _close_one(self) -> bool:
        silent = next(iter(self._silent), None)
        if silent is None:
            return False
        silent.cancel()
        self._ended(silent)
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        self._silent.pop(task, None)

    async def _connection(self, peer: socket.socket) -> None:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await self._loop.connect_accepted_socket(
                lambda: protocol,
                peer,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else HEAD_SECONDS,
            )
        except OSError:
            # The client left, or speaks no TLS.
            _log.debug("a connection ended early", exc_info=True)
            return
        except asyncio.CancelledError:
            peer.close()
            raise
        # A response counts as sent when the kernel has all of it.
        transport.set_write_buffer_limits(high=0)
        writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
        try:
            await self._converse(reader, writer)
            writer.close()
        except (OSError, h11.ProtocolError):  # and with it a TimeoutError
            _log.debug("a scrape ended early", exc_info=True)
            transport.abort()
        except asyncio.CancelledError:
            transport.abort()
            raise

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        task, seconds = asyncio.current_task(), HEAD_SECONDS
        assert task is not None  # noqa: S101 - this is one
        while True:
            try:
                async with asyncio.timeout(seconds):
                    request = await _read(connection, reader)
            except h11.RemoteProtocolError as error:
                request, response = None, Response.plain(HTTPStatus(error.error_status_hint))
            else:
                if request is None:
                    return
                self._silent.pop(task, None)
                response = await self._answered(request)
            # A client that does not read is not silent: only its time is bounded.
            async with asyncio.timeout(SEND_SECONDS):
                writer.write(_encode(connection, request, response))
                await writer.drain()
            if request is None or connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()
            self._silent[task] = None
            seconds = IDLE_SECONDS

    async def _answered(self, request: Request) -> Response:
        try:
            return await self._answer(request)
        except Exception:  # noqa: BLE001 - a collector may raise anything
            _log.exception("a scrape failed")
            return Response.plain(HTTPStatus.INTERNAL_SERVER_ERROR)


async def _read(connection: h11.Connection, reader: asyncio.StreamReader) -> Request | None:
    """Return the next request, None if the client has closed the connection.

    Raises:
        h11.RemoteProtocolError: It is not HTTP, or too long.
    """
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(4096))
    if not isinstance(event, h11.Request):
        return None
    # A body is not read: a request that has one ends the connection.
    connection.next_event()
    target = event.target.decode("latin-1")
    if not target.startswith("/"):
        raise h11.RemoteProtocolError("the target is not a path")
    path, _, query = target.partition("?")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
    return Request(event.method.decode("latin-1"), path, query, headers)


def _encode(connection: h11.Connection, request: Request | None, response: Response) -> bytes:
    headers = [*response.headers, ("Content-Length", str(len(response.body)))]
    if request is None or connection.their_state is not h11.DONE:
        headers.append(("Connection", "close"))
    body = b"" if request is not None and request.method == "HEAD" else response.body
    head = h11.Response(status_code=response.status.value, reason=response.status.phrase.encode(), headers=headers)
    events = (head, h11.Data(data=body), h11.EndOfMessage())
    return b"".join(connection.send(event) or b"" for event in events)


def _ignore(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    # asyncio would log what a client did to its connection as an error of the program.
    _log.debug("a connection failed", extra={"reason": context.get("message")})
