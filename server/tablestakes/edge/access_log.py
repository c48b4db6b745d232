"""The access log: a line for each RPC, or for a share of them."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from tablestakes.crud.method import Method
from tablestakes.edge.arrival import Arrival

log = structlog.get_logger()

# Characters of what the caller sent.
_MAX_TEXT = 200
# W3C Trace Context, section 3.2: version, trace id, parent id and flags.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace_id>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


@dataclass(frozen=True)
class AccessLog:
    """Logs `rpc` for each RPC, with its method, code, time and caller.

    Attributes:
        level: The level of its lines: debug, info, warning or error.
        sample: The share of the RPCs answered OK that have a line, from 0 to 1; one that failed always has a line.
    """

    level: str
    sample: float = 1.0
    _random: random.Random = field(default_factory=random.Random, repr=False)

    def write(
        self,
        method: Method,
        arrival: Arrival,
        code: str,
        seconds: float,
        *,
        request: Any = None,
        reason: str = "",
        received: int = 0,
        sent: int | None = None,
    ) -> None:
        """Write the line of an RPC that has ended, if it is to have one.

        Fields that are not known are left out: `caller`, the subject that a gate found; `request_id`, of the
        request or else of the metadata `x-request-id`; `trace_id`, of the RPC's span or else of the metadata
        `traceparent`.

        Args:
            method: Its method.
            arrival: The call as it arrived.
            code: One of `telemetry.CODES`.
            seconds: How long it took.
            request: Its request, None if that was not read.
            reason: The reason in its ErrorInfo (AIP-193), "" if it has none.
            received: The bytes of its request.
            sent: The bytes of its response, None without one.
        """
        if code == "OK" and self.sample < 1 and self._random.random() >= self.sample:
            return
        metadata = arrival.metadata
        # An own span has bound its ids to every line of its RPC.
        bound = structlog.contextvars.get_contextvars()
        found = {
            "reason": reason,
            "caller": arrival.caller.subject,
            "user_agent": metadata.get("user-agent"),
            "request_id": getattr(request, "request_id", "") or metadata.get("x-request-id"),
            "trace_id": None if "trace_id" in bound else _trace_id(metadata),
            "sent": sent,
        }
        fields = {name: _clip(value) for name, value in found.items() if value not in (None, "")}
        getattr(log, self.level)(
            "rpc",
            rpc=method.path,
            code=code,
            seconds=round(seconds, 6),
            peer=arrival.peer,
            received=received,
            **fields,
        )


def _trace_id(metadata: Mapping[str, str | bytes]) -> str | None:
    given = metadata.get("traceparent")
    found = _TRACEPARENT.fullmatch(given) if isinstance(given, str) else None
    return found["trace_id"] if found else None


def _clip(value: Any) -> Any:
    return value[:_MAX_TEXT] if isinstance(value, str) else value
