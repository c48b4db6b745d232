"""A PostgreSQL with the schema in it, for as long as a benchmark runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from marketplace_service import SERVICE
from tablestakes.database import open_database
from tests.postgres import postgres


@asynccontextmanager
async def migrated() -> AsyncIterator[str]:
    """Start the PostgreSQL that the tests use, and yield the URL of a migrated database."""
    with postgres() as server:
        connection = await asyncpg.connect(server.url("postgres").replace("+asyncpg", ""))
        await connection.execute("CREATE DATABASE bench")
        await connection.close()
        url = server.url("bench")
        database = open_database(SERVICE.settings.load(database_url=url))
        await SERVICE.schema.upgrade(database)
        await database.close()
        yield url
