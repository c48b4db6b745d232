"""The gate that lets those call a method who may."""

from grpc import StatusCode

from tablestakes.crud.method import Method
from tablestakes.edge.arrival import Arrival
from tablestakes.errors import StatusError

_UNKNOWN = StatusError(
    StatusCode.UNAUTHENTICATED,
    "AUTHENTICATION_REQUIRED",
    "It is not known who calls: send `authorization: Bearer <token>`.",
)


def may_call(arrival: Arrival, method: Method) -> None:
    """Let a call through whose caller may call the method: before anything of its request is looked at.

    Raises:
        StatusError: UNAUTHENTICATED, it is not known who calls; PERMISSION_DENIED, a role or a scope is missing.
    """
    access, caller = method.access, arrival.caller
    if access is not None and access.allows(caller):
        return
    if caller.subject is None:
        raise _UNKNOWN
    raise StatusError(
        StatusCode.PERMISSION_DENIED,
        "METHOD_NOT_ALLOWED",
        f"{method.name} is for others: {access or 'nobody'}.",
        metadata={"method": method.path, "allowed": str(access or "nobody")},
    )
