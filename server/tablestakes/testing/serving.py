"""Running a service in this process, on a database that is made for it."""

import asyncio
import importlib
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import make_url

from tablestakes.app import App, start
from tablestakes.database import open_database
from tablestakes.service import Service
from tablestakes.settings import Settings
from tablestakes.telemetry import Tracer
from tablestakes.testing.postgres import Postgres

_numbers = itertools.count(1)


def service_at(place: str) -> Service:
    """Return the service that has a name in a module: `shop:SERVICE`.

    Raises:
        TypeError: It is none.
    """
    module, _, name = place.partition(":")
    found = getattr(importlib.import_module(module), name or "SERVICE", None)
    if not isinstance(found, Service):
        raise TypeError(f"{place} is no service")
    return found


def settings_for(service: Service, url: str, **given: Any) -> Settings:
    """Return a service's settings for a database, on free ports, and without a wait for balancers at the end.

    Args:
        service: The service.
        url: The database's URL.
        given: Further settings, by name.
    """
    mine = {"database_url": url, "listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0", "drain_delay": 0}
    return service.settings.load(**mine | given)


@asynccontextmanager
async def serving(service: Service, settings: Settings, *, tracer: Tracer | None = None) -> AsyncIterator[App]:
    """Run a service in this process, its schema made first, and drain it at the end.

    Args:
        service: The service.
        settings: Its settings.
        tracer: Makes spans, None for none.
    """
    await make_schema(service, settings)
    running = await start(service, settings, tracer=tracer)
    try:
        yield running
    finally:
        await running.drain()


async def make_schema(service: Service, settings: Settings) -> None:
    """Bring the database of the settings up to the newest migration."""
    database = open_database(settings.model_copy(update={"pool_size": 2}))
    try:
        await service.schema.upgrade(database)
    finally:
        await database.close()


async def create_database(server: Postgres) -> str:
    """Create an empty database, and return its URL."""
    name = f"test_{next(_numbers)}"
    address = make_url(server.url("postgres")).set(drivername="postgresql").render_as_string()
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return server.url(name)


async def eventually(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until a function without parameters returns something true.

    Args:
        condition: The function.
        seconds: How long to wait at the most.

    Raises:
        TimeoutError: It never did.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it may wait for what sets no event
            await asyncio.sleep(0.01)
