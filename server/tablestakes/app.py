"""The composition root: the one place that knows every room. It starts the service, drains it and stops it."""

import asyncio
import signal
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import grpc
import sqlalchemy
import structlog
from prometheus_client import CollectorRegistry

from marketplace_service.api import RESOURCES
from tablestakes.crud import PageTokens, Resource, bind
from tablestakes.database import Database, open_database, open_explaining
from tablestakes.database.migrate import require_head, upgrade
from tablestakes.edge import BindError, Health, Work, listen, wrap
from tablestakes.edge.handler import RpcHandler
from tablestakes.settings import Settings
from tablestakes.telemetry import (
    Explainer,
    Live,
    LoopLag,
    MetricsServer,
    RpcMetrics,
    Tracer,
    instrument,
    new_registry,
    serve,
)

# Page tokens are sealed with this where no key is set: the same on every replica and after every restart.
OPEN_KEY = b"tablestakes page tokens, sealed against damage only"

CLOSE_SECONDS = 3.0

log = structlog.get_logger()


@dataclass(frozen=True)
class App:
    """A service that is running.

    Attributes:
        settings: What it was started with.
        address: Where gRPC is served, as a client dials it.
        metrics_address: Where /metrics is served.
        database: Its database.
        registry: What /metrics shows.
    """

    settings: Settings
    address: str
    metrics_address: str
    database: Database
    registry: CollectorRegistry
    server: grpc.aio.Server
    metrics_server: MetricsServer
    health: Health
    work: Work
    lag: LoopLag
    tracer: Tracer | None
    explainer: Explainer | None

    async def drain(self) -> None:
        """Stop: say NOT_SERVING, refuse new calls, let the ones in progress end, and close everything."""
        grace = self.settings.drain_grace
        loop = asyncio.get_running_loop()
        log.info("draining", grace_seconds=grace)
        await self.health.draining()
        await asyncio.sleep(self.settings.drain_delay)
        self.health.close()
        until = loop.time() + grace
        await self.server.stop(grace)
        # The server waits for answers and not for what is behind them: work whose caller left may still run.
        if left := await self.work.ended(max(0.0, until - loop.time())):
            log.warning("work abandoned", units=left)
        try:
            # A connection says goodbye, which a database that no longer answers would make a long one.
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.database.close()
        except TimeoutError:
            log.warning("database not closed", seconds=CLOSE_SECONDS)
        if self.tracer is not None and not await asyncio.to_thread(self.tracer.close, CLOSE_SECONDS):
            log.warning("traces not sent", seconds=CLOSE_SECONDS)
        if self.explainer is not None:
            await asyncio.to_thread(self.explainer.close)
        self.lag.stop()
        self.metrics_server.close()
        log.info("stopped")


async def start(
    settings: Settings, resources: Iterable[Resource] = RESOURCES, *, tracer: Tracer | None = None
) -> App:
    """Start serving, and return once calls are answered.

    Args:
        settings: The settings.
        resources: What is served.
        tracer: Makes a span of each call and each statement, None for none. The drain closes it.

    Raises:
        DeclarationError: A resource, its model and its proto do not fit together.
        SchemaError: PostgreSQL's schema is not what this version serves.
        BindError: The address for gRPC or the one for metrics cannot be listened on.
        sqlalchemy.exc.SQLAlchemyError: The database cannot be reached.
    """
    rpcs = bind(resources, PageTokens(settings.page_token_key.get_secret_value().encode() or OPEN_KEY))
    # What is open already is closed again, should a later step fail.
    async with AsyncExitStack() as opened:
        database = open_database(settings)
        opened.push_async_callback(database.close)
        registry = new_registry(_build())
        explainer = _explainer(settings)
        instrumentation = instrument(
            database.engine,
            registry=registry,
            slow_seconds=settings.slow_query,
            explainer=explainer,
            tracer=tracer,
        )
        embedded = database.engine.dialect.name == "sqlite"
        await (upgrade if embedded else require_head)(database.engine)

        metrics, work = RpcMetrics(registry), Work()
        health = Health(dict.fromkeys(rpc.service for rpc in rpcs))
        handlers: dict[str, dict[str, RpcHandler]] = {}
        for rpc in rpcs:
            handlers.setdefault(rpc.service, {})[rpc.method] = wrap(
                rpc,
                database=database,
                work=work,
                metrics=metrics,
                default_deadline=settings.default_deadline,
                tracer=tracer,
            )
        lag = LoopLag(registry)
        live = Live("tablestakes", version("tablestakes"), engines=[instrumentation], rpcs=metrics, lag=lag)
        host, _, port = settings.metrics_listen.rpartition(":")
        try:
            metrics_server = serve(host.strip("[]"), int(port), registry, live)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "not an address"
            raise BindError(f"cannot listen on {settings.metrics_listen}: {reason}") from None
        opened.callback(metrics_server.close)
        server, grpc_port = listen(settings.listen, handlers, health, reflect=settings.reflection)
        lag.start()
        opened.callback(lag.stop)
        await server.start()
        await health.serving()
        opened.pop_all()
    return App(
        settings=settings,
        address=f"{settings.listen.rpartition(':')[0]}:{grpc_port}",
        metrics_address=f"{host}:{metrics_server.port}",
        database=database,
        registry=registry,
        server=server,
        metrics_server=metrics_server,
        health=health,
        work=work,
        lag=lag,
        tracer=tracer,
        explainer=explainer,
    )


def _explainer(settings: Settings) -> Explainer | None:
    engine = open_explaining(settings) if settings.explain_slow_query else None
    return None if engine is None else Explainer(engine)


def _build() -> dict[str, str]:
    return {"version": version("tablestakes"), "grpcio": grpc.__version__, "sqlalchemy": sqlalchemy.__version__}


async def serve_until_told(settings: Settings, *, tracer: Tracer | None = None) -> None:
    """Serve until SIGTERM or SIGINT, drain, and return; a second signal does not wait for calls in progress.

    Args:
        settings: The settings.
        tracer: As for `start`.

    Raises:
        Exception: What `start` raises.
    """
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Before anything is started: the first process of a container is deaf to signals that it has no handler for.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    starting = asyncio.ensure_future(start(settings, tracer=tracer))
    if not await _unless_told(starting, told):
        starting.cancel()
        await asyncio.wait((starting,))
        return
    app = starting.result()
    log.info(
        "serving",
        grpc=app.address,
        metrics=f"http://{app.metrics_address}/metrics",
        database=settings.url.render_as_string(),
    )
    await told.wait()
    told.clear()
    draining = asyncio.ensure_future(app.drain())
    if await _unless_told(draining, told):
        draining.result()
        return
    log.warning("stopping now")
    await app.server.stop(None)
    draining.cancel()


async def _unless_told(task: asyncio.Future[Any], told: asyncio.Event) -> bool:
    """Wait for a task, and return whether it ended before a signal came."""
    signalled = asyncio.ensure_future(told.wait())
    await asyncio.wait((task, signalled), return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    return task.done()
