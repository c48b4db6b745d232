"""The declarations and the migrations of the service, on every database."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect

from tablestakes.crud.query.token import PageTokens
from tablestakes.database import Database, open_database
from tablestakes.service import Service
from tablestakes.testing.contract.common import SESSION_LOOP
from tablestakes.testing.serving import settings_for

T = TypeVar("T")


@asynccontextmanager
async def opened(service: Service, url: str) -> AsyncIterator[Database]:
    """Open a database, and close it at the end."""
    database = open_database(settings_for(service, url, pool_size=2))
    try:
        yield database
    finally:
        await database.close()


async def read(database: Database, function: Callable[[Connection], T]) -> T:
    """Return what a plain function of a connection returns."""
    async with database.engine.connect() as connection:
        return await connection.run_sync(function)


def differences(service: Service, connection: Connection) -> list[Any]:
    """Return the changes by which Alembic would make the database the one that the models describe."""
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, service.metadata))


def tables(connection: Connection) -> list[str]:
    """Return the names of the tables."""
    return sorted(inspect(connection).get_table_names())


@SESSION_LOOP
class TestSchema:
    """The declarations and the migrations of the service, on every database."""

    async def test_every_rpc_is_served(self, service: Service) -> None:
        """The protos, the models and the declarations fit together, and each RPC has a function that serves it."""
        methods = service.bind(PageTokens(b"key"))
        assert len({method.path for method in methods}) == len(methods)
        assert {method.schema.message for method in methods} == {each.message for each in service.resources}

    async def test_migrations_make_the_schema_of_the_models(self, service: Service, empty_url: str) -> None:
        """After every migration Alembic finds no difference between the database and the models."""
        async with opened(service, empty_url) as database:
            await service.schema.upgrade(database)
            assert await read(database, lambda connection: differences(service, connection)) == []

    async def test_up_and_down_and_up_again(self, service: Service, empty_url: str) -> None:
        """A downgrade to nothing leaves no table behind, and an upgrade after it makes the same schema."""
        async with opened(service, empty_url) as database:
            head = (await service.schema.upgrade(database)).current
            made = await read(database, tables)
            assert (await service.schema.downgrade(database, "base")).current == ""
            assert await read(database, tables) == ["alembic_version"]
            assert (await service.schema.upgrade(database)).current == head
            assert await read(database, tables) == made
            assert await read(database, lambda connection: differences(service, connection)) == []
