"""A caller of the JSON door, with nothing but the standard library's HTTP client."""

import asyncio
import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

HANGS = 60


@dataclass(frozen=True)
class Answer:
    """The answer to an HTTP request.

    Attributes:
        status: Its status.
        headers: Its headers, their names in lower case.
        text: Its body.
    """

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        assert self.headers["content-type"] == "application/json", self
        return json.loads(self.text)


@dataclass(frozen=True)
class Door:
    """An Envoy in front of the service.

    Attributes:
        address: Where it listens, as host:port.
        admin: Where its admin interface listens.
        upstream: Where the service listens, where it is but one.
    """

    address: str
    admin: str
    upstream: str = ""

    async def send(
        self, verb: str, path: str, body: Any = None, query: dict[str, Any] | None = None, **headers: str
    ) -> Answer:
        """Send one request; a body that is not bytes goes as JSON."""
        parameters = {
            key: json.dumps(each) if isinstance(each, bool) else each for key, each in (query or {}).items()
        }
        target = f"{path}?{urlencode(parameters, doseq=True)}" if parameters else path
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            given.setdefault("content-type", "application/json")
        return await asyncio.to_thread(_send, self.address, verb, target, body, given)

    async def counted(self, statistic: str) -> int:
        """Return one of Envoy's own counters, by its full name."""
        answer = await asyncio.to_thread(_send, self.admin, "GET", f"/stats?filter=^{statistic}$", None, {})
        name, _, value = answer.text.strip().partition(": ")
        assert name == statistic, answer
        return int(value)


def _send(address: str, verb: str, target: str, body: bytes | None, headers: dict[str, str]) -> Answer:
    connection = http.client.HTTPConnection(address, timeout=HANGS)
    try:
        connection.request(verb, target, body, headers)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read().decode())
    finally:
        connection.close()
