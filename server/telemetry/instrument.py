"""Listening to an engine: which events, and who hears them."""

from collections.abc import Callable, Iterator
from threading import Lock
from weakref import WeakKeyDictionary, ref

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from server.telemetry import pool, statement
from server.telemetry.guard import Guard
from server.telemetry.pool import Connections
from server.telemetry.statement import Statements


class Instrumentation:
    """The listeners of one engine, and what they have counted; made by `instrument`.

    Attributes:
        labels: Its `db_system_name` and `db_client_connection_pool_name`.
        slow_seconds: Statements that take longer than this are slow.
        guard: Counts the failures of the listeners.
        statements: Times the statements.
        connections: Knows the connections of the pool.
    """

    def __init__(self, engine: Engine, *, registry: CollectorRegistry, pool_name: str, slow_seconds: float) -> None:
        system = engine.dialect.name
        self.labels = (system, pool_name)
        self.slow_seconds = slow_seconds
        self.guard = Guard()
        self.statements = Statements(system=system, pool_name=pool_name, slow_seconds=slow_seconds)
        self.connections = Connections(engine, system=system, pool_name=pool_name)
        # Weak, both: the engine holds the listeners, and a registry must not keep an engine alive.
        self._engine = ref(engine)
        self._registry = ref(registry)
        # event.remove() finds a listener by its identity.
        self._listeners = tuple(
            (target, name, self.guard.wrap(name, handler)) for target, name, handler in self._table()
        )
        for target, name, listener in self._listeners:
            event.listen(target(), name, listener)

    def _table(self) -> tuple[tuple[Callable[[], Engine | None], str, Callable[..., None]], ...]:
        # Everything that is listened to. SQLAlchemy finds the engine's pool and dialect by the event's name;
        # engines made by execution_options() share the listeners, and so does the pool after dispose().
        return (
            (self._engine, "before_cursor_execute", self.statements.start),
            (self._engine, "after_cursor_execute", self.statements.finish),
            (self._engine, "handle_error", self.statements.fail),
            (self._engine, "connect", self.connections.meet),
            (self._engine, "checkout", self.connections.meet),
            (self._engine, "engine_disposed", self.connections.retire),
        )

    @property
    def engine(self) -> Engine | None:
        """The engine, None when it is gone."""
        return self._engine()

    def remove(self) -> None:
        """Stop listening, and take the metrics of this engine out of the registry. Twice is once.

        Not while statements run in other threads: SQLAlchemy's lists of listeners are not locked.
        """
        with _lock:
            registry = self._registry()
            exposed = None if registry is None else _exposed.get(registry)
            if registry is None or exposed is None or self not in exposed.instrumentations:
                return
            for target, name, listener in self._listeners:
                engine = target()
                if engine is not None:
                    event.remove(engine, name, listener)
            exposed.instrumentations.remove(self)
            if not exposed.instrumentations:
                registry.unregister(exposed)
                del _exposed[registry]


class _Exposed:
    """The one collector of a registry: engines that share a registry share the metric families."""

    def __init__(self) -> None:
        self.instrumentations: list[Instrumentation] = []

    def describe(self) -> Iterator[Metric]:
        yield from _families([])

    def collect(self) -> Iterator[Metric]:
        yield from _families(self.instrumentations.copy())


def _families(parts: list[Instrumentation]) -> Iterator[Metric]:
    yield from statement.families([part.statements for part in parts])
    yield from pool.families([part.connections for part in parts])
    errors = CounterMetricFamily(
        "instrumentation_errors",
        "Failures of the instrumentation itself; no statement failed because of one.",
    )
    if parts:
        errors.add_metric((), sum(part.guard.errors for part in parts))
    yield errors


# The only state of the module, and it is nobody's but the registry's: an entry goes when its registry goes.
# Tests that make a registry of their own share nothing.
_exposed: WeakKeyDictionary[CollectorRegistry, _Exposed] = WeakKeyDictionary()
_lock = Lock()


def instrument(
    engine: Engine | AsyncEngine,
    *,
    registry: CollectorRegistry,
    pool_name: str = "default",
    slow_seconds: float = 0.5,
) -> Instrumentation:
    """Listen to an engine, and expose what it does.

    Call it before the engine connects: a connection made earlier is known from its next checkout on.

    Args:
        engine: Any engine, synchronous or not. Engines derived from it by `execution_options()` are covered.
        registry: Where the metrics are exposed. Several engines may share one.
        pool_name: `db_client_connection_pool_name`, unique among the engines of one database system there.
        slow_seconds: A statement that takes longer than this is counted as slow and logged.

    Returns:
        The instrumentation of the engine; the same one when the same is asked for again.

    Raises:
        ValueError: The engine is instrumented otherwise already, the name is taken by another engine, or the
            registry has metrics of these names that are not from here.
    """
    root = _root(engine)
    labels = (root.dialect.name, pool_name)
    with _lock:
        for place, exposed in _exposed.items():
            for known in exposed.instrumentations:
                if known.engine is root:
                    if place is registry and known.labels == labels and known.slow_seconds == slow_seconds:
                        return known
                    raise ValueError(
                        f"the engine is instrumented already, as pool {known.labels[1]!r}, and its registry, "
                        "name or threshold is another one; remove() that instrumentation first"
                    )
        here = _exposed.get(registry)
        if here is None:
            here = _Exposed()
            registry.register(here)
            _exposed[registry] = here
        for other in here.instrumentations.copy():
            if other.labels == labels:
                if other.engine is not None:
                    raise ValueError(
                        f"pool_name {pool_name!r} is taken by another {labels[0]} engine in this registry"
                    )
                here.instrumentations.remove(other)  # its engine is gone, and the name is free
        made = Instrumentation(root, registry=registry, pool_name=pool_name, slow_seconds=slow_seconds)
        here.instrumentations.append(made)
        return made


def _root(engine: Engine | AsyncEngine) -> Engine:
    found = engine.sync_engine if isinstance(engine, AsyncEngine) else engine
    # What execution_options() returns hears its parent's listeners, but not the other way round.
    while isinstance(parent := getattr(found, "_proxied", None), Engine):
        found = parent
    return found
