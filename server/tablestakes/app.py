"""A running service: it is started, drained and stopped here."""

import asyncio
import gc
import secrets
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import sqlalchemy
import structlog
from prometheus_client import CollectorRegistry

from tablestakes.admission.admit import Admission
from tablestakes.admission.arrivals import Arrivals
from tablestakes.admission.limit import AdaptiveLimit, FixedLimit, Limit
from tablestakes.admission.priority import Priority, priorities
from tablestakes.admission.refusal import REASONS
from tablestakes.crud.expired import Expired
from tablestakes.crud.method import Method
from tablestakes.crud.once import Once
from tablestakes.crud.query.token import PageTokens
from tablestakes.crud.security.restrict import secure
from tablestakes.database import Database, open_database
from tablestakes.database.engine import backend_of
from tablestakes.database.request_ids import require_table
from tablestakes.edge.access_log import AccessLog
from tablestakes.edge.arrival import Gate
from tablestakes.edge.certificate import Certificate, CertificateError, Files
from tablestakes.edge.connections import Connections
from tablestakes.edge.door import Door
from tablestakes.edge.hang_up import hang_up
from tablestakes.edge.health import Health
from tablestakes.edge.listen import BindError, listen
from tablestakes.edge.may_call import may_call
from tablestakes.edge.metadata import metadata_gate
from tablestakes.edge.rate import rate_gates
from tablestakes.edge.rpc import Edge
from tablestakes.edge.stream import stream
from tablestakes.edge.streams import Streams
from tablestakes.edge.tasks import Tasks
from tablestakes.edge.unary import unary
from tablestakes.filter import Limits
from tablestakes.identity.authenticate import Authenticate
from tablestakes.identity.ways import NAMES, ways_of
from tablestakes.policy.methods import require_policies
from tablestakes.service import Service
from tablestakes.settings import Settings, SettingsError, flag, require_loopback
from tablestakes.sweeper import Sweep, Sweeper
from tablestakes.telemetry import (
    Access,
    AdmissionMetrics,
    AuthenticationMetrics,
    CertificateMetrics,
    ConnectionMetrics,
    Explainer,
    GoSqlMetrics,
    Instrumentation,
    KeySetMetrics,
    Live,
    LoopLag,
    MetricsServer,
    RpcMetrics,
    Tracer,
    expose_connection_budget,
    expose_schema_revision,
    instrument,
    new_registry,
    serve,
)

CLOSE_SECONDS = 3.0

# Past this the event loop counts as dead: no statement, and no hash of a password, holds it for so long.
DEAD_SECONDS = 10.0

# After how many new objects that are left the youngest are looked at for cycles; 700 unless it is set.
COLLECTED = 10_000

# The bounds of the limit that is found, where no setting says otherwise.
LEAST_IN_PROGRESS, MOST_IN_PROGRESS, GROUP = 2, 1000, 64

log = structlog.get_logger()


@dataclass(frozen=True)
class App:
    """A service that is running.

    Attributes:
        settings: The settings that it was started with.
        address: The address where gRPC is served, as a client dials it.
        metrics_address: The address where /metrics is served.
        methods: How many RPCs it serves.
        database: Its database.
        registry: The metrics that /metrics shows.
        tasks: The tasks that serve calls.
        server: The gRPC server.
        reflects: Whether tools are told of its methods.
    """

    settings: Settings
    address: str
    metrics_address: str
    methods: int
    database: Database
    registry: CollectorRegistry
    tasks: Tasks
    server: grpc.aio.Server
    reflects: bool
    _opened: AsyncExitStack

    async def drain(self) -> None:
        """Stop: report NOT_SERVING, refuse new calls, let those in progress end, and close everything."""
        log.info("draining", grace_seconds=self.settings.drain_grace)
        await self._opened.aclose()
        log.info("stopped")


async def start(service: Service, settings: Settings, *, tracer: Tracer | None = None) -> App:
    """Start serving, and return once calls are answered.

    Args:
        service: The service.
        settings: Its settings.
        tracer: Makes a span of each call and each statement, None for none. The drain closes it.

    Raises:
        DeclarationError: A resource, its model and its proto do not fit together.
        SchemaError: PostgreSQL's schema is not the one that this version serves.
        DatabaseInUseError: Another process has the SQLite file.
        BindError: The address for gRPC or the one for metrics cannot be listened on.
        sqlalchemy.exc.SQLAlchemyError: The database cannot be reached.
    """
    limits = Limits(unindexed=settings.filter_unindexed)
    retention = timedelta(seconds=settings.soft_delete_retention)
    methods = service.bind(_tokens(settings), limits, settings.most_counted, retention)
    policies = service.policies(methods)
    # Each step says how it is undone: the drain undoes them all, and a step that fails undoes those before it.
    async with AsyncExitStack() as opened:
        registry = new_registry(_build(service), name=service.name)
        lag, tasks, door, metrics = LoopLag(registry), Tasks(), Door(), RpcMetrics(registry)
        database = await _open_database(service, settings, registry, lag, tracer, opened)
        if not settings.token_keys and not database[0].backend.embedded:
            log.warning("page tokens are this process's own: set page_token_keys, and replicas read each other's")
        engines, runbooks = database[1], _runbooks()
        live = Live(service.name, service.version, engines=engines, rpcs=metrics, lag=lag, runbooks=runbooks)
        if settings.policy == "on":
            for engine in database[0].engines.values():
                secure(engine.sync_engine)
        services = list(dict.fromkeys(method.service for method in methods))
        health = Health(services, door)
        metrics_server = _serve_metrics(settings, registry, live, _probes(lag, health))
        opened.callback(metrics_server.close)
        lag.start()
        opened.callback(lag.stop)

        counted = AdmissionMetrics(registry, [each.label for each in Priority], REASONS)
        ranks = priorities(methods, service.priorities)
        once = Once(settings.request_id_retention)
        sweeps = _expiring(methods)
        if any(map(_is_repeatable, methods)):
            await require_table(database[0])
            sweeps.append(once)
        if sweeps:
            opened.push_async_callback(Sweeper(sweeps, database[0]).stop)
        connections = Connections(settings.max_connections, ConnectionMetrics(registry))
        edge = Edge(
            database=database[0],
            once=once,
            tasks=tasks,
            door=door,
            metrics=metrics,
            gates=[
                metadata_gate(connections),
                *await _gates(service, settings, registry, methods),
                *rate_gates(settings, ranks, counted),
            ],
            admission=_admission(settings, counted, lag, embedded=database[0].backend.embedded),
            priorities=ranks,
            default_deadline=settings.default_deadline,
            tracer=tracer,
            access_log=(
                AccessLog(settings.access_log, settings.access_log_sample) if settings.logs_access else None
            ),
            connections=connections,
            secure=policies.of if settings.policy == "on" else None,
        )
        streams = Streams(settings.max_streams, settings.stream_deadline)
        handlers = {
            method.path: stream(method, edge, streams) if method.streams else unary(method, edge)
            for method in methods
        }
        credentials = _credentials(settings, registry)
        # Whoever may not call a method need not be told of it.
        tells = settings.reflection and settings.policy == "off"
        server, port = listen(settings.listen, handlers, health, services, door if tells else None, credentials)
        await server.start()
        connections.start(port)
        opened.push_async_callback(connections.stop)
        await health.serving()
        opened.push_async_callback(_stop, settings, health, door, streams, server, port, tasks)
        return App(
            settings=settings,
            address=f"{settings.listen.rpartition(':')[0]}:{port}",
            metrics_address=f"{settings.metrics_listen.rpartition(':')[0]}:{metrics_server.port}",
            methods=len(methods),
            database=database[0],
            registry=registry,
            tasks=tasks,
            server=server,
            reflects=tells,
            _opened=opened.pop_all(),
        )


def _credentials(settings: Settings, registry: CollectorRegistry) -> grpc.ServerCredentials | None:
    """Return the certificate to listen with, None for no TLS.

    Raises:
        SettingsError: The files are no certificate, or others could reach the service without TLS.
    """
    name = "tls_certificate"
    if not settings.tls_certificate:
        require_loopback(settings)
        return None
    files = Files(settings.tls_certificate, settings.tls_key or settings.tls_certificate, settings.tls_client_ca)
    try:
        return Certificate(files, CertificateMetrics(registry)).credentials()
    except CertificateError as error:
        raise SettingsError(f"{flag(name)} ({settings.variable(name)}): {error}") from None


async def _gates(
    service: Service, settings: Settings, registry: CollectorRegistry, methods: Sequence[Method]
) -> list[Gate]:
    """Return the gates: the engine's that finds out who calls, the service's, and the engine's for who may."""
    own = list(service.gates(settings))
    if settings.policy == "off":
        return own
    require_policies(methods)
    ways = await ways_of(settings, KeySetMetrics(registry))
    if not ways and not own:
        log.warning("nobody can be authenticated", missing="jwks or preshared_keys")
    refusals = ("CREDENTIALS_INVALID", "TOKEN_EXPIRED", "KEYS_UNAVAILABLE")
    authenticate = Authenticate(ways, AuthenticationMetrics(registry, NAMES, refusals))
    return [authenticate, *own, may_call]


def _tokens(settings: Settings) -> PageTokens:
    """Return what makes and reads page tokens: with the keys that are set, or one that ends with this process."""
    return PageTokens(*(settings.token_keys or [secrets.token_bytes(32)]))


def _admission(settings: Settings, metrics: AdmissionMetrics, lag: LoopLag, *, embedded: bool) -> Admission | None:
    """Return what bounds the calls in progress, None where nothing does."""
    if settings.admission == "off":
        return None
    arrivals = Arrivals()
    most = settings.max_in_progress or MOST_IN_PROGRESS
    limit: Limit = FixedLimit(most)
    if settings.admission == "adaptive":
        # Writes to SQLite wait for one writer, who takes as many as there are into one COMMIT.
        least = min(GROUP if embedded else LEAST_IN_PROGRESS, most)
        limit = AdaptiveLimit(2 * settings.pool_size, least, most, lambda: max(lag.last(), arrivals.delay))
    return Admission(limit, arrivals, settings.queue_seconds, metrics)


def _expiring(methods: Sequence[Method]) -> list[Sweep]:
    """Return what removes the resources that are deleted softly, once they expire."""
    schemas = {method.schema.descriptor.full_name: method.schema for method in methods}
    return [Expired(name, each.removal) for name, each in schemas.items() if each.removal is not None]


def _is_repeatable(method: Method) -> bool:
    return "request_id" in method.asks.fields and not method.reads


async def _open_database(
    service: Service,
    settings: Settings,
    registry: CollectorRegistry,
    lag: LoopLag,
    tracer: Tracer | None,
    opened: AsyncExitStack,
) -> tuple[Database, list[Instrumentation]]:
    """Open the database, with its listeners, and return it with its instrumentations once its schema is right."""
    database = open_database(settings)
    opened.push_async_callback(_close, "database not closed", database.close)
    if tracer is not None:
        opened.push_async_callback(_close_tracer, tracer)
    explainer = None
    if settings.explain_slow_query and (asked := backend_of(settings).create_explaining_engine(settings)):
        explainer = Explainer(asked)
        opened.push_async_callback(asyncio.to_thread, explainer.close)
    instrumentations = [
        instrument(
            engine,
            registry=registry,
            pool_name=name,
            slow_seconds=settings.slow_query,
            explainer=explainer,
            tracer=tracer,
            lag=lag,
        )
        for name, engine in database.engines.items()
    ]
    if settings.go_sql_metrics:
        GoSqlMetrics(registry, instrumentations)
    found = await (service.schema.upgrade if database.backend.embedded else service.schema.require_head)(database)
    await database.warn_of_risks()
    each = settings.pool_size + bool(settings.explain_slow_query)
    budget = await database.check_budget(settings.replicas, each)
    if budget.limit is not None:
        available = None if budget.limit.pooled else budget.limit.connections
        expose_connection_budget(registry, budget.planned, available)
    expose_schema_revision(registry, found.current, name=service.name)
    return database, instrumentations


def _runbooks() -> str:
    """Return the runbooks, which are beside this module or in the repository, or "" if they are not installed."""
    here = Path(__file__).resolve()
    for path in (here.with_name("runbooks.md"), here.parents[2] / "docs" / "runbooks.md"):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    return ""


def _probes(lag: LoopLag, health: Health) -> dict[str, Callable[[], str]]:
    """Return whether the process lives and whether it is to be sent calls, as Kubernetes asks over HTTP."""

    def dead() -> str:
        seconds = lag.overdue()
        return f"the event loop has been blocked for {seconds:.0f} seconds" if seconds > DEAD_SECONDS else ""

    return {"/healthz": dead, "/readyz": lambda: health.reason}


def _access(settings: Settings) -> Access:
    host = settings.metrics_listen.rpartition(":")[0]
    access = Access(
        hosts=[host, *(pattern.strip() for pattern in settings.metrics_hosts.split(","))],
        token=settings.metrics_token.get_secret_value(),
        certificate=settings.metrics_tls_certificate,
        key=settings.metrics_tls_key,
    )
    try:
        access.open_tls()
    except OSError as error:
        name = "metrics_tls_certificate"
        raise SettingsError(f"{flag(name)} ({settings.variable(name)}): {error.strerror or error}") from None
    return access


def _serve_metrics(
    settings: Settings, registry: CollectorRegistry, live: Live, probes: dict[str, Callable[[], str]]
) -> MetricsServer:
    host, _, port = settings.metrics_listen.rpartition(":")
    access = _access(settings)
    try:
        return serve(host.strip("[]"), int(port), registry, live, probes=probes, access=access)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not an address"
        raise BindError(f"cannot listen on {settings.metrics_listen}: {reason}") from None


async def _stop(
    settings: Settings,
    health: Health,
    door: Door,
    streams: Streams,
    server: grpc.aio.Server,
    port: int,
    tasks: Tasks,
) -> None:
    """Stop serving calls, and let those in progress end within the grace."""
    loop = asyncio.get_running_loop()
    await health.draining()
    await asyncio.sleep(settings.drain_delay)
    until = loop.time() + settings.drain_grace
    # A stream that is nearly done may end by itself, and any other in time to say how it goes on.
    loop.call_later(settings.drain_grace / 2, streams.end)
    door.shut()
    await door.emptied(settings.drain_grace)
    # Whoever is still connected calls on, and is turned away: by the handlers until here, by the end of the
    # connection from here on. Nothing is awaited in between, or somebody could connect anew.
    hang_up(port)
    await server.stop(max(0.0, until - loop.time()))
    # The server waits for answers and not for the work behind them: a task whose caller left may still run.
    if left := await tasks.ended(max(0.0, until - loop.time())):
        log.warning("work abandoned", units=left)


async def _close(warning: str, close: Any) -> None:
    try:
        # A connection says goodbye to the database, and one that no longer answers would make that a long wait.
        async with asyncio.timeout(CLOSE_SECONDS):
            await close()
    except TimeoutError:
        log.warning(warning, seconds=CLOSE_SECONDS)


async def _close_tracer(tracer: Tracer) -> None:
    if not await asyncio.to_thread(tracer.close, CLOSE_SECONDS):
        log.warning("traces not sent", seconds=CLOSE_SECONDS)


def _build(service: Service) -> dict[str, str]:
    found = {"version": service.version, "grpcio": grpc.__version__, "sqlalchemy": sqlalchemy.__version__}
    return found | {"engine": version("tablestakes")}


async def serve_until_signal(service: Service, settings: Settings, *, tracer: Tracer | None = None) -> None:
    """Serve until SIGTERM or SIGINT, drain, and return; a second signal does not wait for calls in progress.

    Args:
        service: The service.
        settings: Its settings.
        tracer: As for `start`.

    Raises:
        Exception: The errors of `start`.
    """
    signalled = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Before anything is started: the first process of a container is deaf to signals that it has no handler for.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled.set)
    starting = asyncio.ensure_future(start(service, settings, tracer=tracer))
    if not await _done_before(signalled, starting):
        starting.cancel()
        await asyncio.wait((starting,))
        return
    app = starting.result()
    # What a start has made stays until the end: a full collection need not look at it each time, for as long as a
    # tenth of a second in which no call is served. Few objects of a call are in cycles: many can wait for the rest.
    gc.freeze()
    gc.set_threshold(COLLECTED, 10, 10)
    site = f"http{'s' if settings.metrics_tls_certificate else ''}://{app.metrics_address}"
    log.info(
        "serving",
        grpc=app.address,
        metrics=f"{site}/metrics",
        page=f"{site}/",
        service=f"{service.name} {service.version}",
        methods=app.methods,
        database=settings.url.render_as_string(),
        **({"list_methods": f"grpcurl -plaintext {app.address} list"} if app.reflects else {}),
    )
    await signalled.wait()
    signalled.clear()
    draining = asyncio.ensure_future(app.drain())
    if await _done_before(signalled, draining):
        draining.result()
        return
    log.warning("stopping now")
    await app.server.stop(None)
    draining.cancel()


async def _done_before(event: asyncio.Event, task: asyncio.Future[Any]) -> bool:
    """Wait for a task or an event, and return whether the task is done."""
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return task.done()
