"""Around every RPC: it is let in, observed, answered with a status where it fails, and logged."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tablestakes.admission.admit import Admission, Entrance, Place
from tablestakes.admission.priority import Priority
from tablestakes.admission.refusal import Refusal
from tablestakes.crud.method import Method
from tablestakes.crud.once import Once
from tablestakes.database import Database
from tablestakes.database.unit import Unit
from tablestakes.edge.access_log import AccessLog
from tablestakes.edge.answer import abort
from tablestakes.edge.arrival import Arrival, Gate
from tablestakes.edge.connections import Connections
from tablestakes.edge.door import Door
from tablestakes.edge.handler import Context
from tablestakes.edge.intake import Secure, intake
from tablestakes.edge.observe import Observation, Observer
from tablestakes.edge.refuse import refuser
from tablestakes.edge.tasks import Tasks
from tablestakes.edge.translate import translate
from tablestakes.telemetry import CODES, RpcMetrics, Tracer

R = TypeVar("R")

CANCELED = "Canceled"


@dataclass(frozen=True)
class Edge:
    """The parts of a server that every RPC needs.

    Attributes:
        database: The database that it works on.
        once: Does the work of one call alone of those with the same request id.
        tasks: Keeps its task until it ends.
        door: Lets it in, until the server drains.
        metrics: Counts it.
        gates: Let it through, or refuse it, in their order.
        admission: Has room for it, or has none; None for no bound.
        priorities: The priority of each method, by its path.
        default_deadline: Seconds for callers that set no deadline.
        tracer: Makes a span of it, None for none.
        access_log: Logs it, None for no line.
        secure: Gives it its row security, None where policies are off.
        connections: Ends those that abuse the server, None for none.
    """

    database: Database
    once: Once
    tasks: Tasks
    door: Door
    metrics: RpcMetrics
    gates: Sequence[Gate] = ()
    admission: Admission | None = None
    priorities: Mapping[str, Priority] = field(default_factory=dict)
    default_deadline: float = 10.0
    tracer: Tracer | None = None
    access_log: AccessLog | None = None
    secure: Secure | None = None
    connections: Connections | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A call that was let in, and its request.

    Attributes:
        context: Its context of grpc.aio.
        arrival: The call as gates saw it.
        request: Its request, decoded and valid.
        unit: Tells how far its work has come.
        observation: Observes it.
        place: Its place among the calls in progress, None without a bound.
    """

    context: Context
    arrival: Arrival
    request: Any
    unit: Unit
    observation: Observation
    place: Place | None


def surround(
    method: Method, edge: Edge, answer: Callable[[Accepted], Awaitable[R]], grpc_type: str = "unary"
) -> Callable[[object, Context], Awaitable[R | None]]:
    """Return the function of grpc.aio that answers the calls of a method.

    Everything that surrounds an RPC is composed here, once, at start: grpc.aio would run a chain of interceptors
    anew for each call. It gets bytes, for grpc.aio would send the exception of a request that does not parse to its
    caller.

    Args:
        method: The method.
        edge: The parts of the server that every RPC needs.
        answer: Answers a call that was let in; its exception becomes the call's status.
        grpc_type: The method's type in the metrics.
    """
    spans = None if edge.tracer is None else edge.tracer.method(method.service, method.name)
    observer = Observer(edge.metrics.method(method.service, method.name, grpc_type), spans)
    take_in = intake(method, edge.gates, edge.default_deadline, edge.secure)
    access_log = edge.access_log
    entrance, refuse, enter = _entrance(method, edge), refuser(method), edge.door.enter

    async def handle(_: object, context: Context) -> R | None:
        observation, arrival, unit, code = observer.begin(context), Arrival(context), Unit(), "Unknown"
        place: Place | None = None
        request: Any = None
        reason = ""
        try:
            # Before it may have to wait: a drain waits for it then, and does not cut it off.
            enter(context)
            if entrance is not None:
                found = await _admitted(entrance, arrival)
                if isinstance(found, Refusal):
                    code, reason = refuse(context, found)
                    return None
                place = found
            request = await take_in(context, arrival, observation)
            answered = await answer(Accepted(context, arrival, request, unit, observation, place))
            code = "OK"
        except asyncio.CancelledError:
            code = _code_of_cancelled(arrival)
            if code == CANCELED and edge.connections is not None:
                edge.connections.misused(arrival.peer, "cancelled_calls")
            raise
        except Exception as error:  # noqa: BLE001 - grpc.aio would send an exception's class and text to the caller
            status = translate(error, method, unit)
            code, reason = CODES[status.code.value[0]], status.reason
            await abort(context, status, method.domain)
        finally:
            if place is not None:
                _give_back(place, unit, observation.waited if code == "OK" else None)
            seconds = observation.end(code)
            if access_log is not None:
                received, sent = observation.received, observation.sent
                access_log.write(
                    method, arrival, code, seconds, request=request, reason=reason, received=received, sent=sent
                )
        return answered

    return handle


def _entrance(method: Method, edge: Edge) -> Entrance | None:
    if edge.admission is None:
        return None
    return edge.admission.entrance(edge.priorities.get(method.path, Priority.NORMAL))


async def _admitted(entrance: Entrance, arrival: Arrival) -> Place | Refusal:
    found = entrance.enter(arrival.seconds_left)
    return found if isinstance(found, Place | Refusal) else await found


def _give_back(place: Place, unit: Unit, waited: float | None) -> None:
    """Give a call's place back once its work has ended, which goes on where the caller has left it."""
    if unit.outlives is None:
        place.release(waited)
        return

    def ended(_: object) -> None:
        place.release()

    unit.outlives.add_done_callback(ended)


def _code_of_cancelled(arrival: Arrival) -> str:
    """Return the name of the code of a call that grpc.aio has cancelled.

    It cancels alike when the caller leaves and when the caller's deadline passes.
    """
    left = arrival.seconds_left
    return "DeadlineExceeded" if left is not None and left <= 0 else CANCELED
