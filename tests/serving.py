"""Running the service in this process, on a database that is made for it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy import make_url

from marketplace_service.api import RESOURCES
from tablestakes.app import App, start
from tablestakes.database import open_database
from tablestakes.database.migrate import upgrade
from tablestakes.settings import Settings, load
from tablestakes.telemetry import Tracer
from tests.gadgets import GADGET, Gadget
from tests.postgres import Postgres

_numbers = itertools.count(1)


def settings_for(url: str, **given: object) -> Settings:
    """Return settings for a server on free ports."""
    return load(database_url=url, listen="127.0.0.1:0", metrics_listen="127.0.0.1:0", **given)


@asynccontextmanager
async def serving(settings: Settings, *, tracer: Tracer | None = None) -> AsyncIterator[App]:
    """Run a server in this process, its schema made first, and drain it at the end."""
    await make_schema(settings)
    running = await start(settings, (*RESOURCES, GADGET), tracer=tracer)
    try:
        yield running
    finally:
        await running.drain()


async def make_schema(settings: Settings) -> None:
    """Migrate a database, and add the tables of the gadgets, which no migration knows."""
    database = open_database(settings.model_copy(update={"pool_size": 2}))
    await upgrade(database.engine)
    async with database.engine.begin() as connection:
        await connection.run_sync(Gadget.metadata.create_all, tables=[Gadget.metadata.tables[Gadget.__tablename__]])
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

    Raises:
        TimeoutError: It never did.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what it waits for sets no event
            await asyncio.sleep(0.01)
