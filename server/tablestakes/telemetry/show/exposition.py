"""Serving the metrics over HTTP, from a thread of its own."""

import logging
import socket
import socketserver
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from threading import Thread
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Info,
    PlatformCollector,
    ProcessCollector,
)

from .live import Live
from .page import SECURITY_HEADERS, page
from .runbook import runbook_page
from .scrape import scrape

_log = logging.getLogger("tablestakes.telemetry")
_INDEX = b"""<!doctype html>
<html lang="en"><title>Metrics</title><p><a href="/metrics">Metrics</a> for Prometheus.</p></html>
"""

_StartResponse = Callable[..., Any]
_Answer = tuple[str, list[tuple[str, str]], bytes]  # status, headers, body
# By path: what makes the headers and the body, given the query.
_Pages = Mapping[str, Callable[[str], tuple[list[tuple[str, str]], bytes]]]


def new_registry(build_info: Mapping[str, str] | None = None, *, name: str = "tablestakes") -> CollectorRegistry:
    """Return a registry with the metrics of the process, the platform and the garbage collector.

    Args:
        build_info: Labels of `<name>_build_info`, such as `{"version": "1.2.3"}`; without labels there is no such
            metric.
        name: The name of the program.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    if build_info:
        Info(f"{name}_build", "What is running.", registry=registry).info(dict(build_info))
    return registry


def expose_schema_revision(registry: CollectorRegistry, revision: str, *, name: str = "tablestakes") -> None:
    """Add `<name>_schema_info` to a registry, whose label is the revision of the database's schema.

    It is not known before the database is open, and so is not part of `<name>_build_info`.

    Args:
        registry: The registry.
        revision: The revision, "" if the database has none.
        name: The name of the program, as for `new_registry`.

    Raises:
        ValueError: The registry has such a metric already.
    """
    text = "The revision of the database's schema when the program started."
    Info(f"{name}_schema", text, registry=registry).info({"revision": revision})


class MetricsServer:
    """A running metrics server; made by `serve`.

    Attributes:
        host: The address it listens on, as given to `serve`.
        port: The port it listens on; the actual one if `serve` was given 0.
    """

    def __init__(self, host: str, server: "_Server", live: Live | None = None) -> None:
        self.host = host
        self._live = live
        if live is not None:
            live.history.start()
        self.port: int = server.server_address[1]
        self._server = server
        # The argument is how often the server checks whether to stop, in seconds, and so how long close() may take.
        self._thread = Thread(target=server.serve_forever, args=(0.1,), name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and free the port, within about 0.1 seconds; a second call does nothing."""
        if self._live is not None:
            self._live.history.stop()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(host: str, port: int, registry: CollectorRegistry, live: Live | None = None) -> MetricsServer:
    """Serve `/metrics` from a daemon thread, because rendering is CPU work that must not block an event loop.

    With `live`, `/` is a page that shows the data of `/live.json`, whose history begins now; otherwise it is a link
    to `/metrics`.

    Args:
        host: Name or address to listen on, IPv4 or IPv6, without brackets.
        port: Port to listen on; 0 for any free one.
        registry: The metrics.
        live: The data of the page, None for no page.

    Raises:
        OSError: The address is in use, belongs to another machine, or is unknown.
    """
    family, _, _, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    server = _Server(address, family)
    server.set_app(_application(registry, _pages(live)))
    return MetricsServer(host, server, live)


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    # If two servers shared a port, each would get half of the scrapes.
    allow_reuse_port = False

    def __init__(self, address: Any, family: int) -> None:
        self.address_family = family
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer.server_bind looks up the name of the host in the DNS, which can take longer than the start may.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]  # AF_INET: str, int
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's signature
        # The scraper disconnected or sent nothing. The inherited method prints a traceback.
        _log.debug("a scrape ended early", exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = 10  # seconds for which a silent client may occupy a thread

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's signature
        """Log nothing: there is a request every few seconds."""


def _pages(live: Live | None) -> _Pages:
    if live is None:
        return {"/": lambda _: ([("Content-Type", "text/html; charset=utf-8")], _INDEX)}
    headers = [("Content-Type", "application/json"), *SECURITY_HEADERS]
    pages: dict[str, Callable[[str], tuple[list[tuple[str, str]], bytes]]] = {
        "/": lambda _: page(),
        "/live.json": lambda query: (headers, live.render(**_wanted(query))),
    }
    if live.runbooks:
        pages["/runbooks"] = lambda _: runbook_page(live.runbooks)
    return pages


def _wanted(query: str) -> dict[str, Any]:
    """Return the arguments of `Live.render` by a query; without a valid one, everything is wanted."""
    given = parse_qs(query)
    try:
        return {"since": float(given["since"][0]), "minute": "minute" in given}
    except (KeyError, ValueError):
        return {}


def _application(
    registry: CollectorRegistry, pages: _Pages
) -> Callable[[dict[str, Any], _StartResponse], Iterable[bytes]]:
    def application(environ: dict[str, Any], start_response: _StartResponse) -> Iterable[bytes]:
        try:
            status, headers, body = _answer(registry, pages, environ)
        except Exception:  # noqa: BLE001 - a collector may raise anything; wsgiref would print it to stderr
            _log.exception("a scrape failed")
            status, headers, body = _plain(HTTPStatus.INTERNAL_SERVER_ERROR)
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return application


def _answer(registry: CollectorRegistry, pages: _Pages, environ: dict[str, Any]) -> _Answer:
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return _plain(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", "GET, HEAD"))
    match environ["PATH_INFO"]:
        case path if path in pages:
            return "200 OK", *pages[path](environ["QUERY_STRING"])
        case "/metrics":
            return "200 OK", *scrape(registry, environ)
        case _:
            return _plain(HTTPStatus.NOT_FOUND)


def _plain(status: HTTPStatus, *headers: tuple[str, str]) -> _Answer:
    line = f"{status.value} {status.phrase}"
    return line, [("Content-Type", "text/plain; charset=utf-8"), *headers], f"{line}\n".encode()
