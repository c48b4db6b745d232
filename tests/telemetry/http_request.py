"""Asking a metrics server over HTTP, as a scraper does."""

import contextlib
import http.client

from tablestakes.telemetry import MetricsServer


def request(
    server: MetricsServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Ask for a path, and return the status, the headers and the body; `_` in a header's name stands for `-`."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path, headers={name.replace("_", "-"): v for name, v in headers.items()})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
