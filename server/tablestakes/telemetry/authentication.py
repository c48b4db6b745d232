"""Counting the callers who prove who they are, and the keys that their tokens are verified with."""

from collections.abc import Sequence
from time import time

from prometheus_client import CollectorRegistry, Counter, Gauge


class AuthenticationMetrics:
    """Counts authentications.

    Args:
        registry: The registry.
        ways: The names of the ways in which callers may prove who they are.
        reasons: The reasons for which credentials are refused.
    """

    def __init__(self, registry: CollectorRegistry, ways: Sequence[str], reasons: Sequence[str]) -> None:
        self._total = Counter(
            "rpc_server_authentications",
            "Calls by the way in which the caller proved who it is, and by why that was refused; both are empty for"
            " a call without credentials.",
            ("way", "error_type"),
            registry=registry,
        )
        self._children = {
            (way, reason): self._total.labels(way, reason) for way in ("", *ways) for reason in ("", *reasons)
        }

    def count(self, way: str, reason: str) -> None:
        """Count a call.

        Args:
            way: The way, "" for none.
            reason: Why its credentials were refused, "" if they were not.
        """
        found = self._children.get((way, reason))
        (found or self._total.labels(way, "_OTHER")).inc()


class KeySetMetrics:
    """Counts the renewals of the keys that sign tokens.

    Args:
        registry: The registry.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        total = Counter(
            "rpc_server_key_set_renewals",
            "Renewals of the keys that sign tokens, by whether they failed.",
            ("error_type",),
            registry=registry,
        )
        self._renewed, self._failed = total.labels(""), total.labels("failed")
        self._time = Gauge(
            "rpc_server_key_set_renewal_timestamp_seconds",
            "When the keys that sign tokens were read last, in seconds since 1970; 0 if they never were.",
            registry=registry,
        )

    def renewed(self) -> None:
        """Count a renewal that was successful."""
        self._renewed.inc()
        self._time.set(time())

    def failed(self) -> None:
        """Count one that was not."""
        self._failed.inc()
