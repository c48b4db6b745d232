"""RPCs of a gRPC server: what is counted of them, spelled as the Go middleware does, and which one runs now.

Nothing here imports grpc: methods are named by strings, and codes by the names of `CODES`.
"""

from collections.abc import Iterator, Sequence
from threading import RLock

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from ..account import RpcAccount, current_rpc
from ..meter.histogram import Exemplar, Histogram
from . import spending
from .spending import Repeats, Spending

BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
"""Seconds."""

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
    """Counters of one method; made by `RpcMetrics.method`. Safe to use from any thread."""

    __slots__ = (
        "_codes",
        "_handling",
        "_lock",
        "_received",
        "_sent",
        "_started",
        "full_method",
        "labels",
        "spending",
    )

    def __init__(self, service: str, method: str, grpc_type: str, repeats: Repeats) -> None:
        self.labels = (grpc_type, service, method)
        self.full_method = f"/{service}/{method}"
        self._lock = RLock()
        self.spending = Spending(service, method, repeats, self._lock)
        self._started = 0
        self._received = 0
        self._sent = 0
        self._codes = dict.fromkeys(CODES, 0)
        self._handling = Histogram(BUCKETS, self._lock)

    def started(self) -> None:
        """Count an RPC that has arrived."""
        with self._lock:
            self._started += 1

    def handled(self, code: str, seconds: float) -> None:
        """Count an RPC that has ended, however it ended, and the time it took.

        Args:
            code: One of `CODES`; any other is counted as `Unknown`, because counting must not fail an RPC.
            seconds: Time since it started.
        """
        with self._lock:
            self._end(code, seconds)

    def _end(self, code: str, seconds: float) -> None:
        self._codes[code if code in self._codes else "Unknown"] += 1
        self._handling.add(seconds)

    def finish(self, account: RpcAccount, code: str, exemplar: Exemplar | None = None) -> float:
        """Close the account of an RPC, count the RPC and what it spent, and return how long it took.

        What points to its span, if it has one, is kept as the exemplar of its duration.

        What still runs in the name of the RPC is no longer charged to it. Twice is once.
        """
        if not account.closed:
            seconds = account.close()
            with self._lock:
                self._end(code, seconds)
                self.spending.add(account)
            if exemplar is not None:
                self._handling.mark(seconds, exemplar)
            self.spending.suspect(account)
        return account.total

    def received(self) -> None:
        """Count a message of a request stream; the one message of any other request counts by itself."""
        with self._lock:
            self._received += 1

    def sent(self) -> None:
        """Count a message of a response stream; the one message of any other response counts by itself."""
        with self._lock:
            self._sent += 1

    def counts(self) -> tuple[int, dict[str, int]]:
        """Return how many RPCs have arrived, and how many have ended with each code, taken together."""
        with self._lock:
            return self._started, self._codes.copy()

    def handling(self) -> tuple[list[int], float]:
        """Return the RPCs that have ended, by the buckets of `BUCKETS` and +Inf, and their time in seconds."""
        return self._handling.snapshot()

    def expose(
        self,
        started: CounterMetricFamily,
        handled: CounterMetricFamily,
        handling: HistogramMetricFamily,
        received: CounterMetricFamily,
        sent: CounterMetricFamily,
        in_flight: GaugeMetricFamily,
    ) -> None:
        """Add this method to the families that are being scraped."""
        with self._lock:
            begun, codes, took, gave = self._started, self._codes.copy(), self._received, self._sent
            self._handling.expose(handling, self.labels)
        ended = sum(codes.values())
        started.add_metric(self.labels, begun)
        for code, count in codes.items():
            handled.add_metric((*self.labels, code), count)
        # Where there is one message, Go counts it with the RPC, and the response even if the RPC failed.
        received.add_metric(self.labels, took if self.labels[0] in _SENDS_MANY else begun)
        sent.add_metric(self.labels, gave if self.labels[0] in _RETURNS_MANY else ended)
        in_flight.add_metric(self.labels[1:], begun - ended)


class RpcMetrics:
    """The `grpc_server_*` and `rpc_db_*` metrics of one server.

    Args:
        registry: Where they are exposed.
        repeat_threshold: A compiled statement that one RPC executes this often is a suspect.

    Raises:
        ValueError: The registry already has metrics of these names.
    """

    def __init__(self, registry: CollectorRegistry, *, repeat_threshold: int = 10) -> None:
        self.repeat_threshold = repeat_threshold
        self._repeats = Repeats(repeat_threshold)
        self._methods: dict[tuple[str, str], MethodMetrics] = {}
        registry.register(self)

    def method(self, service: str, method: str, grpc_type: str = "unary") -> MethodMetrics:
        """Return the counters of a method, at zero for every code if it is new.

        Args:
            service: Full name of the service, such as `marketplace.v1.UserService`.
            method: Bare name of the method, such as `GetUser`.
            grpc_type: One of `TYPES`.

        Raises:
            ValueError: The type is not one of `TYPES`, or the method is known by another type.
        """
        if grpc_type not in TYPES:
            raise ValueError(
                f"grpc_type of {service}/{method} is {grpc_type!r}; it must be one of {', '.join(TYPES)}"
            )
        known = self._methods.setdefault(
            (service, method), MethodMetrics(service, method, grpc_type, self._repeats)
        )
        if known.labels[0] != grpc_type:
            raise ValueError(f"{service}/{method} is {known.labels[0]} already, and cannot be {grpc_type} too")
        return known

    def methods(self) -> list[MethodMetrics]:
        """Return the counters of every method, in the order in which they were asked for."""
        return list(self._methods.values())

    def describe(self) -> Iterator[Metric]:
        """Yield the families without samples, so that the registry knows their names."""
        yield from _families(())

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they are now."""
        yield from _families(self.methods())


def enter(method: MethodMetrics) -> RpcAccount:
    """Open the account of an RPC, for the running task and those it starts.

    grpc.aio runs each RPC in a task of its own, so the account ends with the task and is never reset. Its clock
    runs from here to `MethodMetrics.finish`.
    """
    account = RpcAccount(method.full_method)
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
    for method in methods:
        method.expose(started, handled, handling, received, sent, in_flight)
    yield from (started, handled, handling, received, sent, in_flight)
    yield from spending.families([method.spending for method in methods])
