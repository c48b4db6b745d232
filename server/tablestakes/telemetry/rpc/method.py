"""The metrics of a server's RPCs, with the names and labels of the Go middleware.

Nothing here imports grpc: methods are named by strings, and status codes by the names in `CODES`.
"""

from collections.abc import Iterator, Sequence
from threading import RLock

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from ..account import RpcAccount, current_rpc
from ..meter.histogram import Exemplar, Histogram
from . import usage
from .usage import MethodDatabaseUsage, RepeatLog

BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
"""Seconds."""
SIZES = (256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0)
"""Bytes; the last is the largest message that gRPC accepts by default."""

CODES = (
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
)
"""The names of the status codes, in the order of their numbers 0 to 16, as Go writes them."""

TYPES = ("unary", "client_stream", "server_stream", "bidi_stream")
_SENDS_MANY = ("client_stream", "bidi_stream")
_RETURNS_MANY = ("server_stream", "bidi_stream")


class MethodMetrics:
    """The counters of one method; made by `RpcMetrics.method`. They may be used from any thread."""

    __slots__ = (
        "_codes",
        "_handling",
        "_lock",
        "_received",
        "_received_bytes",
        "_sent",
        "_sent_bytes",
        "_started",
        "full_method",
        "labels",
        "usage",
    )

    def __init__(self, service: str, method: str, grpc_type: str, repeats: RepeatLog) -> None:
        self.labels = (grpc_type, service, method)
        self.full_method = f"/{service}/{method}"
        self._lock = RLock()
        self.usage = MethodDatabaseUsage(service, method, repeats, self._lock)
        self._started = 0
        self._received = 0
        self._sent = 0
        self._codes = dict.fromkeys(CODES, 0)
        self._handling = Histogram(BUCKETS, self._lock)
        self._received_bytes = Histogram(SIZES, self._lock)
        self._sent_bytes = Histogram(SIZES, self._lock)

    def started(self) -> None:
        """Count an RPC that has arrived."""
        with self._lock:
            self._started += 1

    def handled(self, code: str, seconds: float) -> None:
        """Count an RPC that has ended, in whatever way, and its time.

        Args:
            code: One of `CODES`; any other is counted as `Unknown`, because counting must not fail an RPC.
            seconds: The time since it started.
        """
        with self._lock:
            self._count_end(code, seconds)

    def _count_end(self, code: str, seconds: float) -> None:
        self._codes[code if code in self._codes else "Unknown"] += 1
        self._handling.add(seconds)

    def finish(
        self,
        account: RpcAccount,
        code: str,
        exemplar: Exemplar | None = None,
        *,
        received: int | None = None,
    ) -> float:
        """Close the account of an RPC, count the RPC and its usage of the database, and return how long it took.

        Statements that the RPC has started and that still run are no longer charged to it. A second call only
        returns the time again.

        Args:
            account: The account that `enter` returned.
            code: One of `CODES`; any other is counted as `Unknown`.
            exemplar: Points to the RPC's span and becomes the exemplar of its duration, None without a span.
            received: The bytes of its request, None if they are not known.

        Returns:
            Seconds from `enter` to the first call of this method.
        """
        if not account.closed:
            seconds = account.close()
            with self._lock:
                self._count_end(code, seconds)
                self.usage.add(account)
                if received is not None:
                    self._received_bytes.add(received)
            if exemplar is not None:
                self._handling.mark(seconds, exemplar)
            self.usage.report_repeats(account)
        return account.total

    def received(self) -> None:
        """Count a message of a request stream; the single message of a unary request is counted by `started`."""
        with self._lock:
            self._received += 1

    def sent(self, size: int | None = None) -> None:
        """Count the size of a response; the single message of a unary RPC is counted itself with the RPC.

        Args:
            size: Its bytes, None if they are not known.
        """
        with self._lock:
            self._sent += 1
            if size is not None:
                self._sent_bytes.add(size)

    def counts(self) -> tuple[int, dict[str, int]]:
        """Return how many RPCs have arrived, and how many have ended with each code, both of the same moment."""
        with self._lock:
            return self._started, self._codes.copy()

    def handling(self) -> tuple[list[int], float]:
        """Return the number of ended RPCs in each bucket of `BUCKETS` and +Inf, and the sum of their seconds."""
        return self._handling.snapshot()

    def expose(
        self,
        started: CounterMetricFamily,
        handled: CounterMetricFamily,
        handling: HistogramMetricFamily,
        received: CounterMetricFamily,
        sent: CounterMetricFamily,
        in_flight: GaugeMetricFamily,
        received_bytes: HistogramMetricFamily,
        sent_bytes: HistogramMetricFamily,
    ) -> None:
        """Add this method to the families that are being scraped."""
        with self._lock:
            arrived, codes = self._started, self._codes.copy()
            received_count, sent_count = self._received, self._sent
            self._handling.expose(handling, self.labels)
            for histogram, family in ((self._received_bytes, received_bytes), (self._sent_bytes, sent_bytes)):
                # A method that nobody calls has no sizes: they would be a third of all samples.
                if any(histogram.snapshot()[0]):
                    histogram.expose(family, self.labels)
        ended = sum(codes.values())
        started.add_metric(self.labels, arrived)
        for code, count in codes.items():
            handled.add_metric((*self.labels, code), count)
        # The Go middleware counts a single message with its RPC, and the response even if the RPC failed.
        received.add_metric(self.labels, received_count if self.labels[0] in _SENDS_MANY else arrived)
        sent.add_metric(self.labels, sent_count if self.labels[0] in _RETURNS_MANY else ended)
        in_flight.add_metric(self.labels[1:], arrived - ended)


class RpcMetrics:
    """The `grpc_server_*` and `rpc_db_*` metrics of one server.

    Args:
        registry: The registry that exposes them.
        repeat_threshold: A statement that one RPC executes this often is suspect.

    Raises:
        ValueError: The registry already has metrics of these names.
    """

    def __init__(self, registry: CollectorRegistry, *, repeat_threshold: int = 10) -> None:
        self.repeat_threshold = repeat_threshold
        self._repeats = RepeatLog(repeat_threshold)
        self._methods: dict[tuple[str, str], MethodMetrics] = {}
        registry.register(self)

    def method(self, service: str, method: str, grpc_type: str = "unary") -> MethodMetrics:
        """Return the counters of a method; those of a new method are at zero for every code.

        Args:
            service: Full name of the service, such as `marketplace.v1.UserService`.
            method: Bare name of the method, such as `GetUser`.
            grpc_type: One of `TYPES`.

        Raises:
            ValueError: The type is not one of `TYPES`, or the method exists with another type.
        """
        if grpc_type not in TYPES:
            raise ValueError(
                f"grpc_type of {service}/{method} is {grpc_type!r}; it must be one of {', '.join(TYPES)}"
            )
        counters = self._methods.setdefault(
            (service, method), MethodMetrics(service, method, grpc_type, self._repeats)
        )
        if counters.labels[0] != grpc_type:
            raise ValueError(f"{service}/{method} is {counters.labels[0]} already, and cannot be {grpc_type} too")
        return counters

    def methods(self) -> list[MethodMetrics]:
        """Return the counters of every method, in the order in which the methods were added."""
        return list(self._methods.values())

    def describe(self) -> Iterator[Metric]:
        """Yield the families without samples, so that the registry knows their names."""
        yield from _families(())

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they are now."""
        yield from _families(self.methods())


def enter(method: MethodMetrics) -> RpcAccount:
    """Open the account of an RPC for the running task and the tasks it starts.

    grpc.aio runs each RPC in a task of its own, so the account ends with the task and is never reset. Its clock
    runs from here until `MethodMetrics.finish`.
    """
    account = RpcAccount(method.full_method, method.usage.add_late_hold)
    current_rpc.set(account)
    return account


def _families(methods: Sequence[MethodMetrics]) -> Iterator[Metric]:
    labels = ["grpc_type", "grpc_service", "grpc_method"]
    started = CounterMetricFamily("grpc_server_started", "RPCs started on the server.", labels=labels)
    handled = CounterMetricFamily(
        "grpc_server_handled",
        "RPCs completed on the server, regardless of success or failure.",
        labels=[*labels, "grpc_code"],
    )
    handling = HistogramMetricFamily(
        "grpc_server_handling_seconds", "Time the server took to handle an RPC.", labels=labels
    )
    received = CounterMetricFamily(
        "grpc_server_msg_received", "RPC messages received on the server.", labels=labels
    )
    sent = CounterMetricFamily("grpc_server_msg_sent", "RPC messages sent by the server.", labels=labels)
    in_flight = GaugeMetricFamily(
        "grpc_server_in_flight", "RPCs started and not yet completed on the server.", labels=labels[1:]
    )
    received_bytes = HistogramMetricFamily(
        "grpc_server_msg_received_bytes", "Size of each request, after decompression.", labels=labels
    )
    sent_bytes = HistogramMetricFamily(
        "grpc_server_msg_sent_bytes", "Size of each response, before compression.", labels=labels
    )
    parts = (started, handled, handling, received, sent, in_flight, received_bytes, sent_bytes)
    for method in methods:
        method.expose(*parts)
    yield from parts
    yield from usage.families([method.usage for method in methods])
