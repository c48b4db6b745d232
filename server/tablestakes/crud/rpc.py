"""Each RPC of the services, with what serves it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from tablestakes.crud.resource import Serve


@dataclass(frozen=True)
class Rpc:
    """An RPC and what serves it.

    Attributes:
        service: The service's full name: `marketplace.v1.UserService`.
        method: The method's name: `CreateUser`.
        request: The request's class.
        serve: What serves it.
        served_by: For people: the standard verb, or the function's own name.
        resource: The full name of its resource's message: `marketplace.v1.User`.
        table: The table of its resource.
        domain: The service's host (`google.api.default_host`), the domain of its errors (AIP-193).
        body: The field of the request that holds the resource to write, or None.
        writes: Which fields of that resource a request writes; None where it writes them all.
        columns: The path in the request behind each column that it writes, for errors that the database finds.
        constraints: The columns of each constraint of the table, by its name.
    """

    service: str
    method: str
    request: type[Message]
    serve: Serve
    served_by: str
    resource: str
    table: str
    domain: str
    body: str | None = None
    writes: Callable[[Any], frozenset[str]] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    constraints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The method's full name as it goes over the wire: `/marketplace.v1.UserService/CreateUser`."""
        return f"/{self.service}/{self.method}"
