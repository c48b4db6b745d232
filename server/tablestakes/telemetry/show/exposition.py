"""Serving the metrics over HTTP, from a thread of its own."""

import socket
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    Info,
    PlatformCollector,
    ProcessCollector,
)

from .access import Access
from .http_server import HttpServer, Request, Response
from .live import Live
from .page import SECURITY_HEADERS, page
from .runbook import runbook_page
from .scrape import scrape
from .turns import BusyError, Turns

_INDEX = b"""<!doctype html>
<html lang="en"><title>Metrics</title><p><a href="/metrics">Metrics</a> for Prometheus.</p></html>
"""

_Page = tuple[list[tuple[str, str]], bytes]  # headers, body

Probe = Callable[[], str]
"""Returns "" if all is well, or else the reason why it is not, in one line."""


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


def expose_connection_budget(registry: CollectorRegistry, planned: int, available: int | None) -> None:
    """Add what all processes of a program may connect to the database, and what that lets them.

    Args:
        registry: The registry.
        planned: The most connections of all processes of the program.
        available: The most that the database lets this role have, together with all others; None where a pooler is
            in between.

    Raises:
        ValueError: The registry has such a metric already.
    """
    text = "The most database connections that all processes of the program may open."
    Gauge("database_connections_planned", text, registry=registry).set(planned)
    if available is not None:
        text = "The most connections that the database lets this role have, at the start of the program."
        Gauge("database_connections_available", text, registry=registry).set(available)


class MetricsServer:
    """A running metrics server; made by `serve`.

    Attributes:
        host: The address it listens on, as given to `serve`.
        port: The port it listens on; the actual one if `serve` was given 0.
    """

    def __init__(self, host: str, port: int, server: HttpServer, live: Live | None = None) -> None:
        self.host = host
        self.port = port
        self._server = server
        self._live = live
        if live is not None:
            live.history.start()

    def close(self) -> None:
        """Stop serving, close the connections and free the port; a second call does nothing."""
        if self._live is not None:
            self._live.history.stop()
        self._server.close()


def serve(
    host: str,
    port: int,
    registry: CollectorRegistry,
    live: Live | None = None,
    *,
    probes: Mapping[str, Probe] | None = None,
    access: Access | None = None,
) -> MetricsServer:
    """Serve `/metrics` from a daemon thread, because rendering is CPU work that must not block an event loop.

    With `live`, `/` is a page that shows the data of `/live.json`, whose history begins now; otherwise it is a link
    to `/metrics`. Connections are bounded in number and in time, and pages are rendered one at a time, for a tenth
    of a core at most if there are many readers: a reader then waits and the program does not.

    Args:
        host: Name or address to listen on, IPv4 or IPv6, without brackets.
        port: Port to listen on; 0 for any free one.
        registry: The metrics.
        live: The data of the page, None for no page.
        probes: By path, such as `/healthz`, whether the program is well: answered with 200, or with 503 and the
            reason, at once and without a token. They are called in the thread of the server.
        access: Who may read the metrics; None for anybody, under the names that `Access` has by default.

    Raises:
        OSError: The address is taken, of another machine, or unknown, or the certificate cannot be read.
    """
    access = access or Access()
    tls = access.open_tls()
    family, _, _, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A restart need not wait for old connections. Without SO_REUSEPORT: if two servers shared a port, each
        # would get half of the scrapes.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        server = HttpServer(
            listener,
            _Site(registry, live, probes or {}, access).answer,
            tls=tls,
            renew=None if tls is None else lambda: tls.load_cert_chain(access.certificate, access.key or None),
            name="metrics",
        )
    except OSError:
        listener.close()
        raise
    return MetricsServer(host, listener.getsockname()[1], server, live)


class _Site:
    """The pages of a metrics server.

    Args:
        registry: As for `serve`.
        live: As for `serve`.
        probes: As for `serve`.
        access: As for `serve`.
    """

    def __init__(
        self, registry: CollectorRegistry, live: Live | None, probes: Mapping[str, Probe], access: Access
    ) -> None:
        self._registry = registry
        self._probes = probes
        self._access = access
        self._turns = Turns()
        self._pages: dict[str, Callable[[Request], Awaitable[_Page]]] = {"/metrics": self._metrics}
        if live is None:
            self._pages["/"] = _constant(lambda: ([("Content-Type", "text/html; charset=utf-8")], _INDEX))
        else:
            self._pages |= {"/": _constant(page), "/live.json": self._live(live)}
            if live.runbooks:
                self._pages["/runbooks"] = _constant(lambda: runbook_page(live.runbooks))

    async def answer(self, request: Request) -> Response:
        """Answer a request."""
        probe = self._probes.get(request.path)
        refusal = self._access.refuse_host(request.headers.get("host"))
        if probe is None and refusal is None:
            refusal = self._access.refuse_caller(request.headers)
        if refusal is not None:
            return Response.plain(refusal.status, refusal.reason, refusal.headers)
        if request.method not in ("GET", "HEAD"):
            return Response.plain(HTTPStatus.METHOD_NOT_ALLOWED, headers=[("Allow", "GET, HEAD")])
        if probe is not None:
            reason = probe()
            return Response.plain(HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK, reason or "ok")
        if (wanted := self._pages.get(request.path)) is None:
            return Response.plain(HTTPStatus.NOT_FOUND)
        try:
            return Response(HTTPStatus.OK, *await wanted(request))
        except BusyError:
            return Response.plain(HTTPStatus.SERVICE_UNAVAILABLE, headers=[("Retry-After", "5")])

    def _metrics(self, request: Request) -> Awaitable[_Page]:
        given = {
            "accept": request.headers.get("accept", ""),
            "accept_encoding": request.headers.get("accept-encoding", ""),
            "query": request.query,
        }
        return self._turns.take(("/metrics", *given.values()), lambda: scrape(self._registry, **given))

    def _live(self, live: Live) -> Callable[[Request], Awaitable[_Page]]:
        headers = [("Content-Type", "application/json"), *SECURITY_HEADERS]

        def render(request: Request) -> Awaitable[_Page]:
            wanted = _wanted(request.query)
            page_ = ("/live.json", *wanted.items())
            return self._turns.take(page_, lambda: (headers, live.render(**wanted)))

        return render


def _constant(make: Callable[[], _Page]) -> Callable[[Request], Awaitable[_Page]]:
    async def answer(_: Request) -> _Page:
        return make()

    return answer


def _wanted(query: str) -> dict[str, Any]:
    """Return the arguments of `Live.render` by a query; without a valid one, everything is wanted."""
    given = parse_qs(query)
    try:
        return {"since": float(given["since"][0]), "minute": "minute" in given}
    except (KeyError, ValueError):
        return {}
