"""Settings of a server that put data or calls at risk are told at start, a line each."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from marketplace_service import SERVICE
from tablestakes.database import Database, open_database
from tablestakes.testing.postgres import SETTINGS
from tests.postgres import Postgres, postgres


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that is quick and not safe, as the tests' are."""
    with postgres() as running:
        yield running


async def told(database: Database, pool_size: int) -> dict[str, Any]:
    """Return the consequences that are logged, by setting."""
    with capture_logs() as logs:
        await database.warn_of_risks(pool_size)
    assert all(line["log_level"] == "warning" and line["value"] for line in logs)
    found = {line["setting"]: line["consequence"] for line in logs}
    assert len(found) == len(logs)
    return found


async def test_unsafe_settings_are_told_and_safe_ones_are_not(server: Postgres) -> None:
    """`fsync`, `full_page_writes` and `synchronous_commit` have a line each where they are off."""
    database = open_database(SERVICE.settings.load(database_url=server.url("postgres")))
    off = {name for name, value in SETTINGS.items() if value == "off"}
    assert off == {"fsync", "full_page_writes", "synchronous_commit"}
    assert (await told(database, 8)).keys() == off

    def commit_safely(connection: Connection) -> None:
        connection.exec_driver_sql("ALTER DATABASE postgres SET synchronous_commit = on")

    await database.run(commit_safely)
    await database.close()
    assert (await told(database, 8)).keys() == off - {"synchronous_commit"}
    await database.close()


async def test_a_pool_that_the_server_has_no_room_for_is_told(server: Postgres) -> None:
    """A pool as large as the server leaves has no line, and one connection more has."""
    database = open_database(SERVICE.settings.load(database_url=server.url("postgres")))
    room = int(SETTINGS["max_connections"]) - 3
    assert "max_connections" not in await told(database, room)
    line = (await told(database, room + 1))["max_connections"]
    assert line == f"the pool may have {room + 1} connections, and this server has {room} for it and all others"
    await database.close()


async def test_sqlite_has_nothing_to_tell() -> None:
    """Every setting of SQLite is the service's own."""
    database = open_database(SERVICE.settings.load(database_url="sqlite+aiosqlite:///:memory:"))
    assert await told(database, 1000) == {}
    await database.close()
