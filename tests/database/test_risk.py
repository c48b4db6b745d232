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


async def told(database: Database, pool_size: int, replicas: int = 1) -> dict[str, Any]:
    """Return the consequences that are logged, by setting."""
    with capture_logs() as logs:
        await database.warn_of_risks()
        await database.check_budget(replicas, pool_size)
    logs = [line for line in logs if line["event"] == "database at risk"]
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


async def test_replicas_multiply_the_pool(server: Postgres) -> None:
    """The budget of all replicas is compared with the server's limit, and has one line either way."""
    database = open_database(SERVICE.settings.load(database_url=server.url("postgres")))
    room = int(SETTINGS["max_connections"]) - 3
    with capture_logs() as logs:
        budget = await database.check_budget(4, room // 4)
    assert [(line["event"], line["connections"], line["limit"], line["set_by"]) for line in logs] == [
        ("connection budget", room // 4 * 4, room, "max_connections")
    ]
    assert (budget.planned, budget.exceeds) == (room // 4 * 4, "")
    line = (await told(database, room // 4 + 1, replicas=4))["max_connections"]
    assert line == (
        f"4 replicas with {room // 4 + 1} connections each may have {room // 4 * 4 + 4}, and this server has {room}"
        " for them and all others"
    )
    await database.close()


async def test_the_limit_of_a_role_is_told(server: Postgres) -> None:
    """A role or a database that may have fewer connections than the server is the limit."""
    database = open_database(SERVICE.settings.load(database_url=server.url("postgres")))

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE ROLE frugal LOGIN CONNECTION LIMIT 9")

    await database.run(limit)
    await database.close()
    url = server.url("postgres").replace("postgres@", "frugal@")
    database = open_database(SERVICE.settings.load(database_url=url))
    assert "CONNECTION LIMIT of the role" not in await told(database, 3, replicas=3)
    assert "this server has 9 " in (await told(database, 5, replicas=2))["CONNECTION LIMIT of the role"]
    await database.close()


async def test_sqlite_has_nothing_to_tell() -> None:
    """Every setting of SQLite is the service's own."""
    database = open_database(SERVICE.settings.load(database_url="sqlite+aiosqlite:///:memory:"))
    assert await told(database, 1000) == {}
    await database.close()
