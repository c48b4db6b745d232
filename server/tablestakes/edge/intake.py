"""From a call that has arrived to its request: the same for every RPC, however it is answered."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tablestakes.crud.method import Method
from tablestakes.edge.arrival import Arrival, Gate
from tablestakes.edge.decode import decoder
from tablestakes.edge.door import Door
from tablestakes.edge.handler import Context
from tablestakes.edge.observe import Observation
from tablestakes.edge.receive import receive
from tablestakes.edge.validate import validator

Intake = Callable[[Context, Arrival, Observation], Awaitable[Any]]


def intake(method: Method, door: Door, gates: Sequence[Gate], seconds: float) -> Intake:
    """Return the function that lets a call in, and receives, decodes and validates its request.

    It raises StatusError for a call that is refused.

    Args:
        method: The method.
        door: Lets it in, until the server drains.
        gates: Let it through, or refuse it, in their order.
        seconds: How long to wait for the request.
    """
    decode, validate, enter = decoder(method.request), validator(method), door.enter

    async def take_in(context: Context, arrival: Arrival, observation: Observation) -> Any:
        enter(context)
        for gate in gates:
            if (waiting := gate(arrival, method)) is not None:
                await waiting
        data = await receive(context, seconds)
        observation.received = len(data)
        request = decode(data)
        if (waiting := validate(request)) is not None:
            await waiting
        return request

    return take_in
