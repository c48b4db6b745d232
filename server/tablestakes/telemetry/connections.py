"""Counting the connections of the server, and those that it ends."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class ConnectionMetrics:
    """Counts connections.

    Args:
        registry: The registry.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge(
            "rpc_server_connections", "Connections of callers, counted once a second.", registry=registry
        )
        self._ended = Counter(
            "rpc_server_connections_ended",
            "Connections that the server ended, by reason.",
            ("reason",),
            registry=registry,
        )
        for reason in ("cancelled_calls", "large_metadata", "too_many"):
            self._ended.labels(reason)

    def open(self, count: int) -> None:
        """Set how many there are."""
        self._open.set(count)

    def ended(self, reason: str, count: int = 1) -> None:
        """Count some that were ended.

        Args:
            reason: cancelled_calls, large_metadata or too_many.
            count: How many.
        """
        self._ended.labels(reason).inc(count)
