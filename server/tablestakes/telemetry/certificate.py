"""Showing when the server's certificate expires, and counting its changes."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class CertificateMetrics:
    """Counts the changes of a certificate.

    Args:
        registry: The registry.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._expires = Gauge(
            "rpc_server_certificate_expiry_timestamp_seconds",
            "When the server's certificate expires, in seconds since 1970.",
            registry=registry,
        )
        total = Counter(
            "rpc_server_certificate_loads",
            "Changes of the files of the server's certificate, by whether they were refused.",
            ("error_type",),
            registry=registry,
        )
        self._loaded, self._refused = total.labels(""), total.labels("refused")

    def loaded(self, expires: float) -> None:
        """Count a certificate that was taken.

        Args:
            expires: When it expires, in seconds since 1970.
        """
        self._loaded.inc()
        self._expires.set(expires)

    def refused(self) -> None:
        """Count files that were not."""
        self._refused.inc()
