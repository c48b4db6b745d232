"""From a call that has arrived to its request: the same for every RPC, however it is answered."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tablestakes.crud.call import Caller
from tablestakes.crud.method import Method
from tablestakes.crud.permitted import permit_fields
from tablestakes.crud.security.row_security import RowSecurity, current_security
from tablestakes.edge.arrival import Arrival, Gate
from tablestakes.edge.decode import decoder
from tablestakes.edge.handler import Context
from tablestakes.edge.observe import Observation
from tablestakes.edge.receive import receive
from tablestakes.edge.validate import validator

Secure = Callable[[Caller, Method], RowSecurity | None]
"""Gives a call its row security; None where its caller may use every row and every field."""

Intake = Callable[[Context, Arrival, Observation], Awaitable[Any]]


def intake(method: Method, gates: Sequence[Gate], seconds: float, secure: Secure | None = None) -> Intake:
    """Return the function that lets a call through the gates, and receives, decodes and validates its request.

    It raises StatusError for a call that is refused.

    Args:
        method: The method.
        gates: Let it through, or refuse it, in their order.
        seconds: How long to wait for the request.
        secure: Gives it its row security, None where policies are off.
    """
    decode, validate = decoder(method.request), validator(method)
    name = method.schema.descriptor.full_name

    async def take_in(context: Context, arrival: Arrival, observation: Observation) -> Any:
        for gate in gates:
            if (waiting := gate(arrival, method)) is not None:
                await waiting
        data = await receive(context, seconds)
        observation.received = len(data)
        request = decode(data)
        if secure is not None and (security := secure(arrival.caller, method)) is not None:
            # For this task, which is the RPC's own, and for those that it starts.
            current_security.set(security)
            if (fields := security.fields.get(name)) is not None:
                permit_fields(method, request, fields)
        if (waiting := validate(request)) is not None:
            await waiting
        return request

    return take_in
