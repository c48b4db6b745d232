"""Sending a request to a metrics server, as a scraper does."""

import contextlib
import http.client

from tablestakes.telemetry import MetricsServer


def request(
    server: MetricsServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Return the status, headers and body of a response; `_` in the name of a request header stands for `-`."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, headers={name.replace("_", "-"): v for name, v in headers.items()})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
