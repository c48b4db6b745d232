"""Instrumenting an engine: which events have listeners, and which methods are replaced."""

from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from ..internals import connection_events_unchanged, root_engine
from ..lag import LoopLag
from ..meter.guard import Guard
from ..tracing import Tracer
from . import error, lifecycle, pool, series, transaction, waiting
from .error import Errors
from .explain import Explainer
from .identity import identity_of
from .lifecycle import Lifecycle
from .patch import Method, MethodPatch
from .pool import Connections
from .slow import SlowQueries
from .statement import Statements
from .transaction import Transactions
from .waiting import Waits

if TYPE_CHECKING:
    # Importing it needs greenlet, which a program with synchronous engines may not have.
    from sqlalchemy.ext.asyncio import AsyncEngine

EXECUTE = ("do_execute", "do_executemany", "do_execute_no_params")
_KNOWN_TO = "tablestakes_known_to"
# The parameters of `instrument`, in the order of Instrumentation.options after the registry.
_OPTIONS = ("registry", "pool_name", "slow_seconds", "trace_id", "explainer", "tracer", "lag")
TraceId = Callable[[], str | None]


class Instrumentation:
    """The listeners of one engine and their counters; made by `instrument`.

    Attributes:
        labels: The values of `identity.LABELS`.
        tracer: Makes the spans, None without traces.
        lag: Measures the event loop, None if it is not measured.
        guard: Counts the failures of the listeners.
        slow: Logs the slow statements.
        statements: Times the statements.
        errors: Counts the errors.
        connections: Counts the open connections of the pool.
        lifecycle: Follows each connection from connect to close.
        transactions: Times the transactions.
        waits: Times the waits for a connection.
        reports_waits: Whether the pool reports its waits.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        registry: CollectorRegistry,
        pool_name: str,
        slow_seconds: float,
        trace_id: TraceId | None,
        explainer: Explainer | None,
        tracer: Tracer | None,
        lag: LoopLag | None,
    ) -> None:
        self.tracer = tracer
        self.labels = identity_of(engine, pool_name)
        self.guard = Guard()
        spans = None if tracer is None else tracer.database(engine, self.guard)
        self.lag = lag
        # A synchronous statement that runs on an event loop makes the loop late itself.
        self.slow = SlowQueries(slow_seconds, trace_id, explainer, lag if engine.dialect.is_async else None)
        self.statements = Statements(self.labels, self.slow, self.guard, spans)
        self.errors = Errors(self.labels, engine.dialect, self.guard)
        self.connections = Connections(engine, self.labels)
        self.lifecycle = Lifecycle(engine, self.labels, self.errors, self.guard, spans)
        self.transactions = Transactions(self.labels, engine.dialect, self.errors, self.guard, spans)
        self.waits = Waits(self.labels, self.errors, self.guard, spans)
        # Both references are weak: the engine holds the listeners, and a registry must not keep an engine alive.
        self._engine = ref(engine)
        self._registry = ref(registry)
        # All listeners, by event. SQLAlchemy decides by the name of an event whether the engine, its pool or its
        # dialect gets the listener. Engines made by execution_options() share the listeners, and so does the new
        # pool after dispose(). event.remove() needs the same function object, so they are kept here.
        self._listeners: tuple[tuple[str, Callable[..., Any]], ...] = (
            *((name, self.statements.execute_listener(engine.dialect, name)) for name in EXECUTE),
            ("checkout", self._on_checkout),
            *([("checkin", self.lifecycle.on_checkin)] if self.lifecycle.exclusive_checkouts else []),
            ("reset", self.lifecycle.on_reset),
            # The listeners above run for every statement or checkout, and catch their own exceptions.
            *((name, self.guard.wrap(name, handler)) for name, handler in self._handlers()),
        )
        # The only Connection event among them is engine_disposed, which works without the others.
        with connection_events_unchanged(engine):
            for name, listener in self._listeners:
                # Ours must come first: a listener of do_connect may return a connection, and then SQLAlchemy does
                # not call those after it.
                event.listen(engine, name, listener, insert=name == "do_connect")
        self._patches = tuple(MethodPatch(engine.dialect, name, wrap) for name, wrap in self._wrappers())
        self.reports_waits = waiting.report_waits(engine.pool, self.waits)

    def _handlers(self) -> Iterator[tuple[str, Callable[..., object]]]:
        yield "handle_error", self.errors.on_handle_error
        yield "do_connect", self.lifecycle.on_do_connect
        yield "connect", self.connections.on_connect
        yield "connect", self.lifecycle.on_connect
        yield "invalidate", self.lifecycle.on_invalidate
        yield "invalidate", self.transactions.on_invalidate
        yield "soft_invalidate", self.lifecycle.on_soft_invalidate
        yield "close", self.lifecycle.on_close
        yield "close", self.transactions.on_close
        yield "close_detached", self.transactions.on_close_detached
        yield "detach", self.lifecycle.on_detach
        yield "engine_disposed", self.connections.on_engine_disposed
        yield "engine_disposed", self.lifecycle.on_engine_disposed

    def _on_checkout(self, driver: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        # One listener serves two counters, because each listener adds to the cost of every checkout.
        try:
            self.lifecycle.on_checkout(record)
            if record.info.get(_KNOWN_TO) is not self.connections:
                record.info[_KNOWN_TO] = self.connections
                self.connections.on_connect(driver, record)
        except Exception:  # noqa: BLE001 - as Guard.wrap
            self.guard.failed("checkout")

    def _wrappers(self) -> Iterator[tuple[str, Callable[[Method], Method]]]:
        # No event reports how these methods of the dialect end.
        yield "connect", self.lifecycle.wrap_connect
        yield "do_terminate", self.lifecycle.wrap_do_terminate
        yield "do_ping", self.errors.wrap_do_ping
        yield "do_begin", self.transactions.wrap_do_begin
        yield "do_commit", self.transactions.wrap_do_commit
        yield "do_rollback", self.transactions.wrap_do_rollback

    @property
    def engine(self) -> Engine | None:
        """The engine, None once it has been garbage-collected."""
        return self._engine()

    @property
    def options(self) -> tuple[object, ...]:
        """The arguments of `instrument` after the registry; `labels` stands for the name of the pool."""
        slow = self.slow
        return self.labels, slow.threshold, slow.trace_id, slow.explainer, self.tracer, self.lag

    def remove(self) -> None:
        """Stop listening, and take the metrics of this engine out of the registry; a second call does nothing.

        Do not call it while statements run in other threads: SQLAlchemy's lists of listeners have no lock.
        """
        with _lock:
            registry = self._registry()
            collector = None if registry is None else _collectors.get(registry)
            if registry is None or collector is None or self not in collector.instrumentations:
                return
            engine = self.engine
            if engine is not None:
                for name, listener in self._listeners:
                    event.remove(engine, name, listener)
                waiting.report_waits(engine.pool, None)
            for patch in self._patches:
                patch.remove()
            collector.instrumentations.remove(self)
            if not collector.instrumentations:
                registry.unregister(collector)
                del _collectors[registry]


class _Collector:
    """The single collector of a registry: engines that share a registry share the metric families."""

    def __init__(self) -> None:
        self.instrumentations: list[Instrumentation] = []

    def describe(self) -> Iterator[Metric]:
        yield from _families([])

    def collect(self) -> Iterator[Metric]:
        yield from _families(self.instrumentations.copy())


def _families(parts: list[Instrumentation]) -> Iterator[Metric]:
    yield from series.families([part.statements.series for part in parts])
    yield from error.families([part.errors for part in parts])
    yield from transaction.families([part.transactions for part in parts])
    yield from pool.families([part.connections for part in parts])
    yield from waiting.families([part.waits for part in parts if part.reports_waits])
    yield from lifecycle.families([part.lifecycle for part in parts])
    errors = CounterMetricFamily(
        "instrumentation_errors",
        "Failures of the instrumentation itself; no statement failed because of one.",
    )
    if parts:
        errors.add_metric((), failures(parts))
    yield errors


def failures(parts: Iterable[Instrumentation]) -> int:
    """Return how often these instrumentations and their tracers have failed themselves."""
    guards = [part.guard for part in parts] + [part.tracer.guard for part in parts if part.tracer is not None]
    return sum(guard.errors for guard in set(guards))


# The only global state of the module. An entry disappears with its registry, so tests with registries of their own
# share nothing.
_collectors: WeakKeyDictionary[CollectorRegistry, _Collector] = WeakKeyDictionary()
_lock = Lock()


def instrument(
    engine: "Engine | AsyncEngine",
    *,
    registry: CollectorRegistry,
    pool_name: str = "default",
    slow_seconds: float = 0.5,
    trace_id: TraceId | None = None,
    explainer: Explainer | None = None,
    tracer: Tracer | None = None,
    lag: LoopLag | None = None,
) -> Instrumentation:
    """Listen to an engine and expose its metrics.

    Call it before the engine connects: a connection that was made earlier is counted from its next checkout on.

    Args:
        engine: Any engine, synchronous or asynchronous. Engines derived from it by `execution_options()` are
            covered.
        registry: The registry that exposes the metrics. Several engines may share one.
        pool_name: `db_client_connection_pool_name`, unique among the engines of one database system in the
            registry.
        slow_seconds: A statement that takes longer than this is counted as slow and logged.
        trace_id: Returns the `trace_id` for the log line of a slow statement; None or "" leaves the field out. By
            default it comes from the tracer, if there is one.
        explainer: Gets the plans of slow statements; None for no plans.
        tracer: Makes a span of each statement, COMMIT, ROLLBACK, connect and wait for a connection; None for no
            spans.
        lag: Measures the event loop that an asynchronous engine runs on, so that a slow statement is not blamed for
            the loop's delay; None if it is not measured.

    Returns:
        The instrumentation of the engine. A second call with the same arguments returns the same one.

    Raises:
        ValueError: The engine is already instrumented with other arguments, another engine has the name, or the
            registry has metrics of these names from elsewhere.
    """
    root = root_engine(engine if isinstance(engine, Engine) else engine.sync_engine)
    if tracer is not None and trace_id is None:
        trace_id = tracer.trace_id
    labels = identity_of(root, pool_name)
    with _lock:
        for used_registry, used_collector in _collectors.items():
            for existing in used_collector.instrumentations:
                if existing.engine is root:
                    requested = (labels, slow_seconds, trace_id, explainer, tracer, lag)
                    pairs = zip((used_registry, *existing.options), (registry, *requested), strict=True)
                    changed = [name for name, (old, new) in zip(_OPTIONS, pairs, strict=True) if old != new]
                    if not changed:
                        return existing
                    raise ValueError(
                        f"the engine is instrumented already, as pool {existing.labels.pool!r}, and not with the "
                        f"same {', '.join(changed)}; remove() that instrumentation first"
                    )
        collector = _collectors.get(registry)
        if collector is None:
            collector = _Collector()
            registry.register(collector)
            _collectors[registry] = collector
        for namesake in collector.instrumentations.copy():
            if namesake.labels[:2] == labels[:2]:
                if namesake.engine is not None:
                    raise ValueError(
                        f"pool_name {pool_name!r} is taken by another {labels.system} engine in this registry"
                    )
                # Its engine was garbage-collected, so the name is free.
                collector.instrumentations.remove(namesake)
        instrumentation = Instrumentation(
            root,
            registry=registry,
            pool_name=pool_name,
            slow_seconds=slow_seconds,
            trace_id=trace_id,
            explainer=explainer,
            tracer=tracer,
            lag=lag,
        )
        collector.instrumentations.append(instrumentation)
        return instrumentation
