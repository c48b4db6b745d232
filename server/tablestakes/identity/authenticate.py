"""The gate that finds out who calls."""

from collections.abc import Sequence
from inspect import isawaitable

from tablestakes.crud.method import Method
from tablestakes.edge.arrival import Arrival
from tablestakes.errors import StatusError
from tablestakes.identity.way import Way, refused
from tablestakes.telemetry import AuthenticationMetrics


class Authenticate:
    """Tries the ways to find out who calls, one after the other; a call without credentials stays anonymous.

    Args:
        ways: The ways by name.
        metrics: Counts what comes of it.
    """

    def __init__(self, ways: Sequence[tuple[str, Way]], metrics: AuthenticationMetrics) -> None:
        self._ways = tuple(ways)
        self._metrics = metrics

    async def __call__(self, arrival: Arrival, _: Method) -> None:
        """Set the caller of a call.

        Raises:
            StatusError: UNAUTHENTICATED, its credentials are bad.
        """
        for name, way in self._ways:
            try:
                found = way(arrival)
                caller = await found if isawaitable(found) else found
            except StatusError as error:
                self._metrics.count(name, error.reason)
                raise
            if caller is not None:
                self._metrics.count(name, "")
                arrival.caller = caller
                return
        if "authorization" in arrival.metadata:
            self._metrics.count("", "CREDENTIALS_INVALID")
            raise refused("The credentials are not known.", "CREDENTIALS_INVALID")
        self._metrics.count("", "")
