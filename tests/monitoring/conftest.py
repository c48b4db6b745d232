"""A service that has served calls of every kind, and failed some."""

from collections.abc import AsyncIterator

import pytest

from tablestakes.app import App
from tests.monitoring.incidents import cause_incidents
from tests.postgres import Postgres
from tests.serving import create_database, serving, settings_for


@pytest.fixture(scope="session")
async def busy(server_of_postgres: Postgres) -> AsyncIterator[App]:
    """A server on PostgreSQL that was filled, and that has had every kind of incident."""
    url = await create_database(server_of_postgres)
    async with serving(settings_for(url, pool_size=4, pool_timeout=0.5, slow_query=0.05)) as app:
        await cause_incidents(app, seed=1)
        yield app
