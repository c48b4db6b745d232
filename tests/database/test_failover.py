"""A failover of PostgreSQL: a primary that hangs, and a standby that is promoted in its place."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from grpc import StatusCode
from marketplace.v1 import user_pb2, user_pb2_grpc
from sqlalchemy import text

from marketplace_service import SERVICE
from tablestakes.app import start
from tablestakes.crud.query.token import PageTokens
from tablestakes.database import FaultKind, diagnose, open_database
from tablestakes.database.unit import Unit
from tablestakes.edge.translate import translate
from tablestakes.settings import Settings
from tests.postgres import Postgres, free_port, postgres

# Seconds; a server that hangs is found out by the second and two more.
CONNECT, STATEMENT = 1.0, 1.0


@contextmanager
def standby_of(primary: Postgres) -> Iterator[Postgres]:
    """Run a standby that streams from a primary."""
    with tempfile.TemporaryDirectory(prefix="tablestakes-standby-") as name:
        folder = Path(name)
        if primary.account:
            shutil.chown(folder, primary.account)
            folder.chmod(0o755)
        server = replace(primary, port=free_port(), folder=folder)
        server._run(
            *("pg_basebackup", "--host=127.0.0.1", f"--port={primary.port}", "--username=postgres"),
            *("--write-recovery-conf", "--checkpoint=fast", "--no-sync"),
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Postgres, Postgres]]:
    """A primary and its standby; the last test of this file leaves them changed."""
    with postgres() as primary:
        try:
            with standby_of(primary) as standby:
                yield primary, standby
        finally:
            signal_all(primary, freeze=False)


def signal_all(server: Postgres, *, freeze: bool) -> None:
    """Freeze or resume every process of a server."""
    for _ in range(2):  # a process may begin or end while they are gone through
        with suppress(ProcessLookupError, FileNotFoundError):
            (server.pause if freeze else server.resume)()


def settings_of(*servers: Postgres) -> Settings:
    """Return the settings of a service on the one of these servers that is the primary."""
    hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in servers)
    return SERVICE.settings.load(
        database_url=f"postgresql+asyncpg://postgres@/postgres?{hosts}&target_session_attrs=primary",
        listen="127.0.0.1:0",
        metrics_listen="127.0.0.1:0",
        pool_size=2,
        connect_timeout=CONNECT,
        statement_timeout=STATEMENT,
    )


@asynccontextmanager
async def users_of(settings: Settings) -> AsyncIterator[Any]:
    """Serve, and yield the users' stub."""
    database = open_database(settings, patient=True)
    await SERVICE.schema.upgrade(database)
    await database.close()
    app = await start(SERVICE, settings)
    try:
        async with grpc.aio.insecure_channel(app.address) as channel:
            yield user_pb2_grpc.UserServiceStub(channel)
    finally:
        await app.drain()


async def promote(server: Postgres) -> None:
    """Make a primary of a standby."""
    connection = await asyncpg.connect(host="127.0.0.1", port=server.port, user="postgres", database="postgres")
    try:
        assert await connection.fetchval("SELECT pg_promote()")
    finally:
        await connection.close()


async def test_without_a_writable_host_calls_are_unavailable(pair: tuple[Postgres, Postgres]) -> None:
    """A service whose only hosts are standbys tells its callers that it cannot reach its database."""
    _, standby = pair
    database = open_database(settings_of(standby, standby))
    with pytest.raises(Exception, match=r".") as caught:
        await database.run(lambda connection: connection.execute(text("SELECT 1")).all())
    await database.close()
    fault = diagnose(caught.value)
    assert fault is not None
    assert fault.kind is FaultKind.UNAVAILABLE
    method = SERVICE.bind(PageTokens(b""))[0]
    raw = asyncpg.TargetServerAttributeNotMatched("None of the hosts match")
    for error in (caught.value, raw):
        assert translate(error, method, Unit()).code == StatusCode.UNAVAILABLE


@pytest.mark.parametrize("wanted", ["standby", "prefer-standby", "read-only"])
async def test_the_wanted_kind_of_server_is_found(wanted: str, pair: tuple[Postgres, Postgres]) -> None:
    """The standby is chosen where one is asked for, though the primary is listed first."""
    settings = settings_of(*pair)
    url = settings.database_url.get_secret_value().replace("=primary", f"={wanted}")
    database = open_database(SERVICE.settings.load(database_url=url))
    recovery = text("SELECT pg_is_in_recovery()")
    assert await database.run(lambda connection: connection.scalar(recovery)) is True
    await database.close()


async def test_a_failover_is_followed_though_the_old_primary_hangs(pair: tuple[Postgres, Postgres]) -> None:
    """After the primary froze and the standby was promoted, calls succeed once the freeze is found out."""
    primary, standby = pair
    settings, codes = settings_of(primary, standby), []
    async with users_of(settings) as users:

        async def create(name: str) -> StatusCode:
            user = user_pb2.User(email=f"{name}@example.com", username=name)
            try:
                await users.CreateUser(user_pb2.CreateUserRequest(user=user), timeout=8)
            except grpc.aio.AioRpcError as error:
                return error.code()
            return StatusCode.OK

        assert set(await asyncio.gather(create("before"), create("both"))) == {StatusCode.OK}
        signal_all(primary, freeze=True)
        try:
            async with asyncio.timeout(40):
                # Two connections to the frozen server, and then no server that can be written to.
                codes += [await create(f"without_{attempt}") for attempt in range(3)]
                assert StatusCode.OK not in codes
                assert StatusCode.INTERNAL not in codes
                assert codes[-1] == StatusCode.UNAVAILABLE
                await promote(standby)
                assert await create("after") == StatusCode.OK
                # One of these closes the pool's other connection to the frozen server, which takes two seconds.
                assert {await create(f"later_{caller}") for caller in range(8)} == {StatusCode.OK}
        finally:
            print([code.name for code in codes])  # noqa: T201
            signal_all(primary, freeze=False)
