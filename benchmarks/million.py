"""A million products on PostgreSQL, and the List that pages through them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.database import migrated
from marketplace_service import SERVICE
from tablestakes.crud.call import Call
from tablestakes.crud.method import Method
from tablestakes.crud.once import Once
from tablestakes.crud.perform import perform
from tablestakes.crud.query.token import PageTokens
from tablestakes.database import Database, open_database

ROWS, SIZE = 1_000_000, 50

# Ten thousand categories, so that a page of the two-field order begins anywhere in one of them.
FILL = f"""
INSERT INTO products (display_name, category, price_cents, stock, create_time, update_time)
SELECT 'product ' || n, 'category ' || lpad((n::bigint * 7919 % 10000)::text, 5, '0'),
  n::bigint * 104729 % 100000 + 1, n % 100, now(), now()
FROM generate_series(1, {ROWS}) AS n
"""  # noqa: S608 - of a constant


@dataclass(frozen=True)
class Products:
    """A million products.

    Attributes:
        database: The database.
        method: ListProducts.
    """

    database: Database
    method: Method

    async def page(self, **fields: Any) -> Any:
        """Return a page."""
        request = self.method.request(page_size=SIZE, **fields)
        reply = await perform(self.method, Call(request), self.database, Once())
        return self.method.response.FromString(reply.data)

    async def token_of(self, number: int, **fields: Any) -> str:
        """Return the token that asks for a page, counted from 1."""
        before = await self.page(skip=(number - 2) * SIZE, **fields)
        token: str = before.next_page_token
        return token


@asynccontextmanager
async def million_products() -> AsyncIterator[Products]:
    """Start PostgreSQL, fill the table, and yield it."""
    async with migrated() as url:
        database = open_database(SERVICE.settings.load(database_url=url, statement_timeout="120"))
        try:
            engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
            async with engine.connect() as connection:
                await connection.exec_driver_sql(FILL)
                await connection.exec_driver_sql("VACUUM ANALYZE products")
            methods = {method.name: method for method in SERVICE.bind(PageTokens(b"benchmark"))}
            yield Products(database, methods["ListProducts"])
        finally:
            await database.close()
