"""A PostgreSQL with the schema in it, for as long as a benchmark runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tablestakes.database import open_database
from tablestakes.database.migrations import upgrade
from tablestakes.settings import load
from tests.postgres import postgres
from tests.serving import create_database


@asynccontextmanager
async def migrated() -> AsyncIterator[str]:
    """Start the PostgreSQL that the tests use, and yield the URL of a migrated database."""
    with postgres() as server:
        url = await create_database(server)
        database = open_database(load(database_url=url))
        await upgrade(database.engine)
        await database.close()
        yield url
