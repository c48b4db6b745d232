"""A marketplace on each database."""

from collections.abc import AsyncIterator

import pytest

from tablestakes.testing.plugin import DATABASES
from tests.marketplace.client import Market, opened
from tests.serving import create_database


@pytest.fixture(scope="session", params=DATABASES)
async def market(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Market]:
    """A marketplace that the tests share: each of them makes what it needs, and reads nothing else."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('sqlite')}/market.db"
    else:
        url = await create_database(request.getfixturevalue("server_of_postgres"))
    async with opened(url, access_log="info") as running:
        yield running


@pytest.fixture
async def own_market(empty_url: str) -> AsyncIterator[Market]:
    """A marketplace of this test's own, in which nothing else happens."""
    async with opened(empty_url) as running:
        yield running
