"""An RPC of the services, with what serves it."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

from google.api import annotations_pb2, client_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tablestakes.crud.access import Access
from tablestakes.crud.asks import Asks
from tablestakes.crud.call import Call
from tablestakes.crud.query.token import PageTokens
from tablestakes.crud.query.total import MOST_COUNTED
from tablestakes.crud.schema.behavior import option
from tablestakes.crud.schema.field import Field
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.shape import find_field
from tablestakes.crud.update_mask import fields_to_write
from tablestakes.crud.work import Work
from tablestakes.filter.limits import Limits

RETENTION = timedelta(days=30)
"""For how long a resource that is deleted softly can be restored, where no setting says otherwise (AIP-164)."""

Serve = Callable[[Call[Any]], Coroutine[Any, Any, Work[Any]]]
"""Serves an RPC: given the call, it returns the work to do, or raises StatusError. It touches no database."""


@dataclass(frozen=True, eq=False, repr=False)
class Method:
    """The facts of an RPC that never change.

    Attributes:
        descriptor: Its descriptor.
        schema: Its resource.
        asks: The standard fields of its request.
        serve: The function that serves it.
        served_by: For people: the standard verb, or the function's own name.
        body: The field of the request that holds the resource to write, or None.
        paths: The path in the request behind each column that the method writes, for errors that the database
            finds.
        reads: Whether it changes nothing.
        item: The method whose requests are the items of this one's, for a batch.
        access: Who may call it; None where nothing says it.
    """

    descriptor: MethodDescriptor
    schema: Schema
    asks: Asks
    serve: Serve
    served_by: str
    body: str | None = None
    paths: Mapping[str, str] = field(default_factory=dict)
    reads: bool = False
    item: "Method | None" = None
    access: Access | None = None

    def __repr__(self) -> str:
        return f"Method({self.path})"

    @property
    def service(self) -> str:
        """The service's full name: `marketplace.v1.UserService`."""
        return self.descriptor.containing_service.full_name

    @property
    def name(self) -> str:
        """The method's name: `CreateUser`."""
        return self.descriptor.name

    @cached_property
    def path(self) -> str:
        """The method's full name as it goes over the wire: `/marketplace.v1.UserService/CreateUser`."""
        return f"/{self.service}/{self.name}"

    @cached_property
    def request(self) -> type[Message]:
        """The request's class."""
        return GetMessageClass(self.descriptor.input_type)

    @cached_property
    def response(self) -> type[Message]:
        """The response's class."""
        return GetMessageClass(self.descriptor.output_type)

    @cached_property
    def domain(self) -> str:
        """The service's host (`google.api.default_host`): the domain of its errors (AIP-193)."""
        host: str = option(self.descriptor.containing_service, client_pb2.default_host)
        return host or self.service

    @property
    def streams(self) -> bool:
        """Whether it answers with a stream of responses."""
        return self.descriptor.server_streaming

    def writes(self, request: Any) -> frozenset[str] | None:
        """Return the paths of the resource's fields that a request writes, None where it holds no resource.

        Raises:
            StatusError: INVALID_ARGUMENT on `update_mask`.
        """
        if self.body is None:
            return None
        if "update_mask" not in self.asks.fields:
            return self.schema.writable
        message = getattr(request, self.body)
        written = fields_to_write(self.schema, self.asks.update_mask(request), message).paths
        if not self.asks.allow_missing(request):
            return written
        # Where it creates, the mask does not count.
        return written | {part.name for part in self.schema.parts if part.writable and part.is_set(message)}

    def required_name(self, request: Any) -> str:
        """Return the name in a request of the resource that must exist: the parent's, or its own."""
        if "parent" in self.asks.fields:
            return str(request.parent)
        return str(getattr(request, self.body).name if self.body else request.name)


@dataclass(frozen=True)
class Rpc:
    """An RPC for which the way to serve it is to be found: the argument of a verb's `bind`.

    Attributes:
        descriptor: Its descriptor.
        schema: Its resource.
        asks: The standard fields of its request.
        tokens: Makes and reads page tokens.
        limits: How much a filter may ask for.
        most_counted: How many resources are counted at most for a total.
        retention: For how long a resource that is deleted softly can be restored.
        declared: Returns the method that the resource's declaration has a function for, given the name of the RPC;
            None where it has none.
    """

    descriptor: MethodDescriptor
    schema: Schema
    asks: Asks
    tokens: PageTokens
    limits: Limits = field(default_factory=Limits)
    most_counted: int = MOST_COUNTED
    retention: timedelta = RETENTION
    declared: Callable[[str], Method | None] = lambda _: None

    @property
    def response(self) -> type[Message]:
        """The response's class."""
        return GetMessageClass(self.descriptor.output_type)

    @property
    def body(self) -> str | None:
        """The field of the request that holds the resource, None where there is none."""
        return find_field(self.descriptor.input_type, self.schema.descriptor)

    def method(
        self,
        serve: Serve,
        served_by: str,
        paths: Mapping[str, str] | None = None,
        *,
        reads: bool | None = None,
        item: Method | None = None,
    ) -> Method:
        """Return the method.

        Args:
            serve: The function that serves it.
            served_by: The standard verb, or the function's own name, for people.
            paths: The paths in the request behind columns that are behind no field of the resource.
            reads: Whether it changes nothing; None for what its `google.api.http` says, where GET changes nothing.
                A stream of responses is read, and changes nothing.
            item: The method whose requests are the items of this one's, for a batch.
        """
        if reads is None:
            reads = self.descriptor.server_streaming or bool(option(self.descriptor, annotations_pb2.http).get)
        body = self.body
        known = self.descriptor.input_type.fields_by_name
        found = {
            column: path
            for part in self.schema.fields.values()
            if body or part.name in known
            for path, column in column_paths(part, f"{body}.{part.name}" if body else part.name)
        }
        return Method(
            descriptor=self.descriptor,
            schema=self.schema,
            asks=self.asks,
            serve=serve,
            served_by=served_by,
            body=body,
            paths=found | dict(paths or {}),
            reads=reads,
            item=item,
        )


def column_paths(part: Any, path: str) -> list[tuple[str, str]]:
    """Return the path of each column of a field, with the column's name."""
    if isinstance(part, Field):
        return [(path, part.column.name)]
    return [pair for below in part.fields.values() for pair in column_paths(below, f"{path}.{below.name}")]
