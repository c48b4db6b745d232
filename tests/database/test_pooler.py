"""Through a real pgbouncer the service keeps its bounds, or says in one line why it cannot be used."""

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text
from structlog.testing import capture_logs

from marketplace_service import SERVICE
from tablestakes.database import Database, open_database
from tablestakes.database.pooler import PoolerError
from tests import pgbouncer as bouncer
from tests.pgbouncer import pgbouncer
from tests.postgres import Postgres, postgres
from tests.process import run

needs_pgbouncer = pytest.mark.skipif(
    bouncer.PROGRAM is None, reason="pgbouncer is not installed; it is no package of PyPI"
)
KEEPS_STATEMENTS = bouncer.version() >= (1, 21)
BOUNDS = {"statement_timeout": "5s", "lock_timeout": "2500ms", "idle_in_transaction_session_timeout": "10s"}


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A PostgreSQL."""
    with postgres() as running:
        yield running


def opened(url: str, *, patient: bool = False) -> Database:
    """Return the database of a URL, which has a pool of four."""
    return open_database(SERVICE.settings.load(database_url=url, pool_size=4), patient=patient)


def bounds(connection: Connection) -> dict[str, str]:
    """Return the session's bounds, after a moment in which other sessions get a connection too."""
    connection.execute(text("SELECT pg_sleep(0.05)"))
    return {name: connection.scalar(text(f"SHOW {name}")) or "" for name in BOUNDS}


async def use(database: Database) -> set[tuple[str, ...]]:
    """Return the distinct bounds that many works find, twelve at a time and each with prepared statements."""
    found = await asyncio.gather(*(database.run(bounds) for _ in range(12)))
    found += await asyncio.gather(*(database.transact(bounds) for _ in range(12)))
    return {tuple(each.values()) for each in found}


async def test_without_a_pooler_nothing_is_said(server: Postgres) -> None:
    """A session of PostgreSQL itself has its bounds from its start, and no line about a pooler."""
    database = opened(server.url("postgres"))
    with capture_logs() as logs:
        assert await use(database) == {tuple(BOUNDS.values())}
        await database.check_budget(1, 4)
    await database.close()
    assert [(line["event"], line["set_by"]) for line in logs] == [("connection budget", "max_connections")]


@needs_pgbouncer
@pytest.mark.parametrize(
    "ignored",
    ["", "jit,statement_timeout,lock_timeout,idle_in_transaction_session_timeout"],
    ids=["refused", "ignored"],
)
async def test_a_session_keeps_its_bounds(server: Postgres, ignored: str) -> None:
    """Where pgbouncer pools sessions, they have their bounds, though it refuses or ignores them at their start."""
    settings = {"pool_mode": "session"} | ({"ignore_startup_parameters": ignored} if ignored else {})
    async with pgbouncer(server, "postgres", **settings) as url:
        database = opened(url)
        with capture_logs() as logs:
            assert await use(database) == {tuple(BOUNDS.values())}
            budget = await database.check_budget(1000, 1000)
        await database.close()
    assert [line["pooling"] for line in logs if line["event"] == "connected through a pooler"] == ["session"]
    assert budget.exceeds == "", "the server's limit is not that of the pooler's clients"


@needs_pgbouncer
async def test_migrations_run_through_pooled_sessions(server: Postgres) -> None:
    """`migrate` works where pgbouncer pools sessions, and is one line where it pools transactions."""
    async with pgbouncer(server, "postgres", pool_mode="session") as url:
        assert (await run("migrate", DATABASE_URL=url))[0] == 0
    async with pgbouncer(server, "postgres", pool_mode="transaction") as url:
        code, _, errors = await run("migrate", DATABASE_URL=url)
    assert code == 1
    assert errors.splitlines()[-1].startswith(
        "tablestakes: unavailable: the pooler pools transactions, and this needs a session of its own"
    )


@needs_pgbouncer
async def test_pooled_transactions_need_kept_statements(server: Postgres) -> None:
    """Where pgbouncer pools transactions and keeps no prepared statements, it is refused with what to set."""
    settings = {"max_prepared_statements": "0"} if KEEPS_STATEMENTS else {}
    async with pgbouncer(server, "postgres", pool_mode="transaction", **settings) as url:
        database = opened(url)
        with pytest.raises(PoolerError, match=r"keeps no prepared statements, .* set pool_mode = session"):
            await database.run(bounds)
        await database.close()


@needs_pgbouncer
async def test_pooled_statements_are_refused(server: Postgres) -> None:
    """Where pgbouncer pools statements there are no transactions: it is refused with what to set."""
    async with pgbouncer(server, "postgres", pool_mode="statement") as url:
        database = opened(url)
        with pytest.raises(PoolerError, match="set pool_mode = session"):
            await database.run(bounds)
        await database.close()


@needs_pgbouncer
@pytest.mark.skipif(
    not KEEPS_STATEMENTS, reason="this pgbouncer is older than 1.21, which keeps prepared statements"
)
async def test_pooled_transactions_are_bounded_by_the_role(server: Postgres) -> None:
    """Where pgbouncer keeps prepared statements, it is refused until the role has the bounds, and then used."""
    direct = opened(server.url("postgres"))

    def create(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE ROLE bounded LOGIN")

    await direct.run(create)
    settings = {"pool_mode": "transaction", "max_prepared_statements": "100", "default_pool_size": "2"}
    async with pgbouncer(server, "postgres", **settings) as url:
        database = opened(url.replace("postgres@", "bounded@"))
        with pytest.raises(PoolerError) as refused:
            await database.run(bounds)
        await database.close()
    commands = str(refused.value).partition("must: ")[2].partition("; then")[0].split("; ")
    assert len(commands) == len(BOUNDS)

    def bound(connection: Connection) -> None:
        for command in commands:
            connection.exec_driver_sql(command)

    await direct.run(bound)
    await direct.close()
    async with pgbouncer(server, "postgres", **settings) as url:
        database = opened(url.replace("postgres@", "bounded@"))
        assert await use(database) == {tuple(BOUNDS.values())}
        await database.close()
