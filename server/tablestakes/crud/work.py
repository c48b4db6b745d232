"""The work that an RPC does on the database, as a value: one place decides how it is run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from tablestakes.crud.key import Key
from tablestakes.crud.session import Session

R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Work(Generic[R_co]):
    """The work of an RPC on the database.

    It is made without touching the database, so bad input has been refused by then.

    Attributes:
        apply: A plain function of a session, which returns the response or raises StatusError. It waits for nothing
            but the database, and may be called again: after a deadlock, for example. Of an RPC with a stream of
            responses it is a generator function, which is called once and yields them; its statements see one
            state of the database, and cannot write.
        atomic: Whether it sends several statements that take effect together, or not at all. Without it each
            statement is committed by itself, so work that writes more than once must be atomic.
        writes: The values that it writes, by column of the resource's table, to explain a refused foreign key.
        key: The ids in the name of the resource that it reads or changes, None where there is not one.
        items: The requests of a batch, each with the work that would be done for it alone, to explain a refusal.
    """

    apply: Callable[[Session], R_co]
    atomic: bool = False
    writes: Mapping[str, Any] = field(default_factory=dict)
    key: Key | None = None
    items: Sequence[tuple[Any, "Work[Any]"]] = ()
