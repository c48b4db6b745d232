"""How many calls in a second a caller may make: the last gate, once it is known who calls."""

import math
from collections.abc import Mapping, Sequence
from time import monotonic

from grpc import StatusCode

from tablestakes.admission.bucket import Buckets
from tablestakes.admission.priority import Priority
from tablestakes.crud.call import ANONYMOUS
from tablestakes.crud.method import Method
from tablestakes.edge.arrival import Arrival, Gate
from tablestakes.errors import StatusError
from tablestakes.settings import Settings
from tablestakes.telemetry import AdmissionMetrics


def rate_gates(settings: Settings, priorities: Mapping[str, Priority], metrics: AdmissionMetrics) -> Sequence[Gate]:
    """Return the gate that bounds the calls of each caller, none where no setting asks for it.

    Args:
        settings: The settings.
        priorities: The priority of each method, by its path.
        metrics: Count the calls that are refused.
    """
    rate = settings.calls_per_second
    if not rate:
        return ()
    buckets = Buckets(rate, settings.burst or max(1, math.ceil(rate)))

    def let_through(arrival: Arrival, method: Method) -> None:
        if wait := buckets.take(caller_of(arrival), monotonic()):
            metrics.refused(priorities[method.path], "rate")
            raise StatusError(
                StatusCode.RESOURCE_EXHAUSTED,
                "RATE_LIMITED",
                f"A caller may make {rate:g} calls in a second; this call was not begun.",
                retry_delay=wait,
            )

    return (let_through,)


def caller_of(arrival: Arrival) -> str:
    """Return by what a caller's calls are counted: its subject, or its address without the port."""
    if arrival.caller is not ANONYMOUS:
        return arrival.caller.subject or ""
    # `ipv4:127.0.0.1:40000`, `ipv6:%5B::1%5D:40000`; all callers of a Unix socket are one.
    return arrival.peer.rpartition(":")[0]
