"""A call as gates see it: before its request is decoded."""

from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import TypeAlias, cast

from tablestakes.crud.call import ANONYMOUS, Caller
from tablestakes.crud.method import Method
from tablestakes.edge.handler import Context


class Arrival:
    """A call that has arrived.

    Args:
        context: The call's context of grpc.aio.

    Attributes:
        caller: Who calls; a gate that finds out sets it.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.caller: Caller = ANONYMOUS

    @cached_property
    def sent(self) -> tuple[tuple[str, str | bytes], ...]:
        """The metadata that the caller sent: pairs of a lower-case key and a value."""
        return tuple(self._context.invocation_metadata() or ())

    @cached_property
    def metadata(self) -> Mapping[str, str | bytes]:
        """The metadata by key; of a repeated key the last value."""
        return dict(self.sent)

    @property
    def peer(self) -> str:
        """The caller's address: `ipv4:127.0.0.1:40000`."""
        return self._context.peer()

    @cached_property
    def certificate(self) -> bytes | None:
        """The caller's certificate in PEM form, which the handshake has verified; None without one."""
        found = self._context.auth_context().get("x509_pem_cert")
        return next(iter(found), None) if found else None

    @property
    def seconds_left(self) -> float | None:
        """The seconds until the caller's deadline, negative once it has passed; None where there is none."""
        return cast(float | None, self._context.time_remaining())


Gate: TypeAlias = Callable[[Arrival, Method], Awaitable[None] | None]
"""Lets a call through, or raises StatusError. Gates are asked in their order, before the request is decoded: to
admit it, to find out who calls, to decide whether they may."""
