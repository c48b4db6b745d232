"""The declaration of a resource."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from sqlalchemy.orm import DeclarativeBase

from tablestakes.crud.access import Access
from tablestakes.crud.call import Call
from tablestakes.crud.row_policy import FieldPolicy, RowPolicy
from tablestakes.crud.work import Work
from tablestakes.crud.written import OnWrite

Function = Callable[[Any, Call[Any]], Coroutine[Any, Any, Work[Any]]]
"""A function that serves an RPC: given the compiled resource (a Schema) and the call, it returns the work to do. It
raises StatusError for a request that it refuses. It may await, but not the database: that is for its work."""


@dataclass(frozen=True)
class Transition:
    """A method that changes a resource's state, and nothing else (AIP-216).

    Attributes:
        sources: The states that it may be in: `("DRAFT",)`.
        target: The state that it is in then.
        stamp: The field that keeps the time of the change, or None.
    """

    sources: tuple[str, ...]
    target: str
    stamp: str | None = None


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A message of the API and the table that keeps it.

    The proto says the rest: the name's pattern (`google.api.resource`), which fields are required or read-only
    (`google.api.field_behavior`), and which standard methods there are. A field is kept in the column of its
    name.

    Attributes:
        message: The resource's message class.
        model: The mapped class of its table.
        methods: By RPC name, a function or a `Transition` of the resource's state, for the RPCs that no standard
            method serves, or that are to be served in another way.
        full_view_only: The fields that are costly to read: the BASIC view leaves them out (AIP-157).
        transform: By field name, an async function from the field's value to the value that is kept, such as a
            password's hash.
        default_order: The order of a List that asks for none, in the form of `order_by` (AIP-132):
            `"publish_time desc"`. That of the keys where it is empty.
        orders: The orders that callers are told of. `check` names each that no index serves.
        filterable: The paths of the fields that callers are told to filter by. `check` names each that no index
            serves.
        on_write: Functions that are told of each write of the resource by the engine, in its transaction: for a
            history, an outbox or a cache.
        reads: Who may call its methods that change nothing, where policies are on; None where each is in `access`.
        writes: Who may call its other methods; None where each is in `access`.
        access: Who may call a method, by the name of its RPC, for those that are not as `reads` and `writes` say.
            A batch needs besides what the method of its items needs.
        rows: The rows that callers may see and write, where policies are on: what no policy gives is not there.
            Without any, each caller of a method may use every row.
        fields: The fields that not every caller may use.
    """

    message: type[Message]
    model: type[DeclarativeBase]
    methods: Mapping[str, Function | Transition] = field(default_factory=dict)
    full_view_only: frozenset[str] = frozenset()
    transform: Mapping[str, Callable[[Any], Awaitable[Any]]] = field(default_factory=dict)
    default_order: str = ""
    orders: tuple[str, ...] = ()
    filterable: tuple[str, ...] = ()
    on_write: tuple[OnWrite, ...] = ()
    reads: Access | None = None
    writes: Access | None = None
    access: Mapping[str, Access] = field(default_factory=dict)
    rows: tuple[RowPolicy, ...] = ()
    fields: tuple[FieldPolicy, ...] = ()

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the message."""
        return cast(Descriptor, self.message.DESCRIPTOR)
