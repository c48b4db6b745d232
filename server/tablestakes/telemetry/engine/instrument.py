"""Listening to an engine: which events, and who hears them."""

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

from ..meter.guard import Guard
from ..tracing import Tracer
from . import error, lifecycle, pool, statement, transaction, waiting
from .detour import Detour, Method
from .error import Errors
from .explain import Explainer
from .lifecycle import Lifecycle
from .pool import Connections
from .slow import SlowQueries
from .statement import Statements
from .transaction import Transactions
from .waiting import Waits

if TYPE_CHECKING:
    # It cannot be imported without greenlet, which a program with synchronous engines need not have.
    from sqlalchemy.ext.asyncio import AsyncEngine

EXECUTE = ("do_execute", "do_executemany", "do_execute_no_params")
_MET = "tablestakes_met"
_OPTIONS = ("registry", "pool_name", "slow_seconds", "trace_id", "explainer", "tracer")
TraceId = Callable[[], str | None]


class Instrumentation:
    """The listeners of one engine, and what they have counted; made by `instrument`.

    Attributes:
        labels: Its `db_system_name` and `db_client_connection_pool_name`.
        tracer: Makes spans of what they see, None for none.
        guard: Counts the failures of the listeners.
        slow: Tells of the statements that take long.
        statements: Times the statements.
        errors: Counts the errors.
        connections: Knows the connections of the pool.
        lifecycle: Follows each from connect to close.
        transactions: Times the transactions.
        waits: Times the waits for a connection.
        tells_waits: Whether the pool is one that tells them.
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
    ) -> None:
        system = engine.dialect.name
        self.tracer = tracer
        self.labels = (system, pool_name)
        self.guard = Guard()
        spans = None if tracer is None else tracer.database(engine, self.guard)
        self.slow = SlowQueries(slow_seconds, trace_id, explainer)
        self.statements = Statements(self.labels, self.slow, self.guard, spans)
        self.errors = Errors(self.labels, engine.dialect, self.guard)
        self.connections = Connections(engine, system=system, pool_name=pool_name)
        self.lifecycle = Lifecycle(engine, self.labels, self.errors, self.guard, spans)
        self.transactions = Transactions(self.labels, engine.dialect, self.errors, self.guard, spans)
        self.waits = Waits(self.labels, self.errors, self.guard, spans)
        # Weak, both: the engine holds the listeners, and a registry must not keep an engine alive.
        self._engine = ref(engine)
        self._registry = ref(registry)
        # Everything that is listened to. SQLAlchemy finds the engine's pool and dialect by the event's name;
        # engines made by execution_options() share the listeners, and so does the pool after dispose().
        # event.remove() finds a listener by its identity.
        self._listeners: tuple[tuple[str, Callable[..., Any]], ...] = (
            *((name, self.statements.sender(engine.dialect, name)) for name in EXECUTE),
            ("checkout", self._take),
            *([("checkin", self.lifecycle.give)] if self.lifecycle.lends_one_by_one else []),
            ("reset", self.lifecycle.clean),
            # Those above are for every statement, and guard themselves.
            *((name, self.guard.wrap(name, handler)) for name, handler in self._events()),
        )
        listens = engine._has_events
        for name, listener in self._listeners:
            # A listener of do_connect may connect by itself, and then those after it are not asked.
            event.listen(engine, name, listener, insert=name == "do_connect")
        # Of the events of a Connection only engine_disposed is listened to, which needs no such flag; with it every
        # statement and every checkout would pay for the others.
        engine._has_events = listens
        self._detours = tuple(Detour(engine.dialect, name, around) for name, around in self._methods())
        self.tells_waits = waiting.report(engine.pool, self.waits)

    def _events(self) -> Iterator[tuple[str, Callable[..., object]]]:
        # What else is listened to.
        yield "handle_error", self.errors.hear
        yield "do_connect", self.lifecycle.connecting
        yield "connect", self.connections.meet
        yield "connect", self.lifecycle.connected
        yield "invalidate", self.lifecycle.invalidate
        yield "invalidate", self.transactions.lose
        yield "soft_invalidate", self.lifecycle.doubt
        yield "close", self.lifecycle.close
        yield "close", self.transactions.lose
        yield "close_detached", self.transactions.lose
        yield "detach", self.lifecycle.detach
        yield "engine_disposed", self.connections.retire
        yield "engine_disposed", self.lifecycle.dispose

    def _take(self, driver: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        # One listener for two: what listens to every checkout is paid for by every checkout.
        try:
            self.lifecycle.take(record)
            if record.info.get(_MET) is not self.connections:
                record.info[_MET] = self.connections
                self.connections.meet(driver, record)
        except Exception:  # noqa: BLE001 - as Guard.wrap
            self.guard.failed("checkout")

    def _methods(self) -> Iterator[tuple[str, Callable[[Method], Method]]]:
        # What no event tells of, at the one method that SQLAlchemy does it by.
        yield "connect", self.lifecycle.connect
        yield "do_terminate", self.lifecycle.terminate
        yield "do_ping", self.errors.ping
        yield "do_begin", self.transactions.begin
        yield "do_commit", self.transactions.commit
        yield "do_rollback", self.transactions.rollback

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
            engine = self.engine
            if engine is not None:
                for name, listener in self._listeners:
                    event.remove(engine, name, listener)
                waiting.report(engine.pool, None)
            for detour in self._detours:
                detour.remove()
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
    yield from error.families([part.errors for part in parts])
    yield from transaction.families([part.transactions for part in parts])
    yield from pool.families([part.connections for part in parts])
    yield from waiting.families([part.waits for part in parts if part.tells_waits])
    yield from lifecycle.families([part.lifecycle for part in parts])
    errors = CounterMetricFamily(
        "instrumentation_errors",
        "Failures of the instrumentation itself; no statement failed because of one.",
    )
    if parts:
        errors.add_metric((), failures(parts))
    yield errors


def failures(parts: Iterable[Instrumentation]) -> int:
    """Return how often these instrumentations, and the tracers they tell, have failed themselves."""
    guards = [part.guard for part in parts] + [part.tracer.guard for part in parts if part.tracer is not None]
    return sum(guard.errors for guard in set(guards))


# The only state of the module, and it is nobody's but the registry's: an entry goes when its registry goes.
# Tests that make a registry of their own share nothing.
_exposed: WeakKeyDictionary[CollectorRegistry, _Exposed] = WeakKeyDictionary()
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
) -> Instrumentation:
    """Listen to an engine, and expose what it does.

    Call it before the engine connects: a connection made earlier is known from its next checkout on.

    Args:
        engine: Any engine, synchronous or not. Engines derived from it by `execution_options()` are covered.
        registry: Where the metrics are exposed. Several engines may share one.
        pool_name: `db_client_connection_pool_name`, unique among the engines of one database system there.
        slow_seconds: A statement that takes longer than this is counted as slow and logged.
        trace_id: Asked for the `trace_id` of a slow statement's line; None or "" leaves it out. The tracer is
            asked where there is one and this is not given.
        explainer: Asked for the plans of slow statements; without one there are none.
        tracer: Makes a span of each statement, COMMIT, ROLLBACK, connect and wait for a connection, None for none.

    Returns:
        The instrumentation of the engine; the same one when the same is asked for again.

    Raises:
        ValueError: The engine is instrumented otherwise already, the name is taken by another engine, or the
            registry has metrics of these names that are not from here.
    """
    root = _root(engine)
    if tracer is not None and trace_id is None:
        trace_id = tracer.trace_id
    labels = (root.dialect.name, pool_name)
    with _lock:
        for place, exposed in _exposed.items():
            for known in exposed.instrumentations:
                if known.engine is root:
                    slow = known.slow
                    given = (place, known.labels, slow.threshold, slow.trace_id, slow.explainer, known.tracer)
                    asked = (registry, labels, slow_seconds, trace_id, explainer, tracer)
                    other = [name for name, one, two in zip(_OPTIONS, asked, given, strict=True) if one != two]
                    if not other:
                        return known
                    raise ValueError(
                        f"the engine is instrumented already, as pool {known.labels[1]!r}, and not with the same "
                        f"{', '.join(other)}; remove() that instrumentation first"
                    )
        here = _exposed.get(registry)
        if here is None:
            here = _Exposed()
            registry.register(here)
            _exposed[registry] = here
        for namesake in here.instrumentations.copy():
            if namesake.labels == labels:
                if namesake.engine is not None:
                    raise ValueError(
                        f"pool_name {pool_name!r} is taken by another {labels[0]} engine in this registry"
                    )
                here.instrumentations.remove(namesake)  # its engine is gone, and the name is free
        made = Instrumentation(
            root,
            registry=registry,
            pool_name=pool_name,
            slow_seconds=slow_seconds,
            trace_id=trace_id,
            explainer=explainer,
            tracer=tracer,
        )
        here.instrumentations.append(made)
        return made


def _root(engine: "Engine | AsyncEngine") -> Engine:
    found = engine if isinstance(engine, Engine) else engine.sync_engine
    # What execution_options() returns hears its parent's listeners, but not the other way round.
    while isinstance(parent := getattr(found, "_proxied", None), Engine):
        found = parent
    return found
