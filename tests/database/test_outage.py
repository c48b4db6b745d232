"""A database that goes away: callers are told so, and the service heals without a restart."""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import asyncpg
import grpc
import pytest
from marketplace.v1 import user_pb2, user_pb2_grpc
from sqlalchemy import Connection, make_url, text
from sqlalchemy.util import await_only
from structlog.testing import capture_logs

from tablestakes.app import CLOSE_SECONDS, App, start
from tests.postgres import Postgres, postgres
from tests.process import HANGS
from tests.service import SERVICE
from tests.serving import create_database, make_schema, serving, settings_for
from tests.status import Refusal, refusal


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL that a test may stop and freeze."""
    with postgres() as server:
        yield server


async def refused(users: Any, deadline: float = HANGS) -> Refusal:
    """Return the status of a Get while the database is away."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await users.GetUser(user_pb2.GetUserRequest(name="users/1"), timeout=deadline)
    return refusal(caught.value)


@contextmanager
def frozen(server: Postgres) -> Iterator[None]:
    """Freeze a server for a while."""

    def surely(step: Callable[[], None]) -> None:
        # A process of it may end while they are gone through: twice does to the others what once does.
        with suppress(ProcessLookupError):
            return step()
        return surely(step)

    surely(server.pause)
    try:
        yield
    finally:
        surely(server.resume)


async def fill_pool(app: App, connections: int) -> None:
    """Use several connections at once, so that the pool has them all, idle."""
    every_one = asyncio.Barrier(connections)

    def hold(connection: Connection) -> None:
        connection.execute(text("SELECT 1"))
        await_only(every_one.wait())

    async with asyncio.timeout(HANGS):
        await asyncio.gather(*(app.database.run(hold) for _ in range(connections)))
    assert _connections(app, "idle") == connections


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Any]:
    """Open a session of somebody else's on a database."""
    connection = await asyncpg.connect(make_url(url).set(drivername="postgresql").render_as_string())
    try:
        yield connection
    finally:
        await connection.close()


async def test_a_stopped_database_is_unavailable_until_it_is_back(own_postgres: Postgres) -> None:
    """Without a database calls are UNAVAILABLE with a time to retry, and OK again once it is back."""
    url = await create_database(own_postgres)
    async with serving(settings_for(url)) as app, grpc.aio.insecure_channel(app.address) as channel:
        users = user_pb2_grpc.UserServiceStub(channel)
        created = await users.CreateUser(
            user_pb2.CreateUserRequest(user=user_pb2.User(email="kept@example.com", username="kept"))
        )
        await asyncio.to_thread(own_postgres.stop)
        try:
            for _ in range(3):
                told = await refused(users)
                assert told.code is grpc.StatusCode.UNAVAILABLE
                assert (told.info.reason, told.info.domain) == ("DATABASE_UNAVAILABLE", "marketplace.example.com")
                assert told.retry_delay == 1.0
            assert _connections(app, "used") == 0, "a failed connect must not leak a place in the pool"
        finally:
            await asyncio.to_thread(own_postgres.start)
        assert await users.GetUser(user_pb2.GetUserRequest(name=created.name)) == created


async def test_a_restart_between_calls_costs_callers_at_most_one_error_each(own_postgres: Postgres) -> None:
    """After a restart the pool's dead connections are all noticed with the first one."""
    url = await create_database(own_postgres)
    async with serving(settings_for(url, pool_size=4)) as app, grpc.aio.insecure_channel(app.address) as channel:
        users = user_pb2_grpc.UserServiceStub(channel)
        request = user_pb2.ListUsersRequest()
        await asyncio.gather(*(users.ListUsers(request) for _ in range(16)))
        await asyncio.to_thread(own_postgres.stop)
        await asyncio.to_thread(own_postgres.start)
        failures: list[Refusal] = []
        for _ in range(6):
            try:
                await users.ListUsers(request)
            except grpc.aio.AioRpcError as error:
                failures.append(refusal(error))
        assert len(failures) <= 1
        assert all(failure.code is grpc.StatusCode.UNAVAILABLE for failure in failures)


async def test_a_frozen_database_does_not_hold_calls_past_their_deadline(own_postgres: Postgres) -> None:
    """While the database answers nothing every call ends by its deadline, and all is well once it answers."""
    url = await create_database(own_postgres)
    settings = settings_for(url, statement_timeout=0.5, connect_timeout=0.5)
    async with serving(settings) as app, grpc.aio.insecure_channel(app.address) as channel:
        users = user_pb2_grpc.UserServiceStub(channel)
        await users.ListUsers(user_pb2.ListUsersRequest())
        with frozen(own_postgres):
            # It stays frozen until each of them has ended.
            async with asyncio.timeout(HANGS):
                told = await asyncio.gather(*(refused(users, deadline=1.0) for _ in range(4)))
            assert {each.code for each in told} <= {
                grpc.StatusCode.DEADLINE_EXCEEDED,
                grpc.StatusCode.UNAVAILABLE,
            }
        async with asyncio.timeout(HANGS):
            while True:
                try:
                    await users.ListUsers(user_pb2.ListUsersRequest())
                    break
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.1)


@pytest.mark.filterwarnings("ignore:unclosed connection:ResourceWarning")
async def test_a_frozen_database_does_not_hold_up_the_end(own_postgres: Postgres) -> None:
    """Closing a pool of idle connections is bounded as a whole, where the database answers none of them."""
    settings = settings_for(await create_database(own_postgres), pool_size=8)
    await make_schema(settings)
    app = await start(SERVICE, settings)
    await fill_pool(app, 8)
    with frozen(own_postgres), capture_logs() as lines:
        draining = asyncio.ensure_future(app.drain())
        ended, _ = await asyncio.wait((draining,), timeout=HANGS)
    await draining
    assert ended, "it waited for a database that answered nothing"
    # All of it together had this long: the connections one after the other would have had it each.
    given_up = {"event": "database not closed", "log_level": "warning", "seconds": CLOSE_SECONDS}
    assert given_up in lines
    # Connections that were left open end with the process; here they must end with this test.
    del app, draining, ended
    gc.collect()


async def test_a_connect_that_takes_too_long_is_unavailable(own_postgres: Postgres) -> None:
    """Where no connection is to be had in time nothing was begun: UNAVAILABLE, with a time to retry."""
    settings = settings_for(await create_database(own_postgres), connect_timeout=0.5)
    async with serving(settings) as app, grpc.aio.insecure_channel(app.address) as channel:
        await app.database.engine.dispose()
        with frozen(own_postgres):
            told = await refused(user_pb2_grpc.UserServiceStub(channel), deadline=HANGS)
    assert told.code is grpc.StatusCode.UNAVAILABLE
    assert told.info.reason == "DATABASE_UNAVAILABLE"
    assert told.retry_delay == 1.0


async def test_connections_that_were_ended_while_idle_cost_no_caller_anything(postgres_url: str) -> None:
    """When the server ends the idle connections of the pool, the next writes are done on new ones."""
    async with (
        serving(settings_for(postgres_url, pool_size=4)) as app,
        grpc.aio.insecure_channel(app.address) as channel,
        session(postgres_url) as admin,
    ):
        await fill_pool(app, 4)
        ended = await admin.fetchval(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'tablestakes'"
        )
        assert ended == 4
        users = user_pb2_grpc.UserServiceStub(channel)
        for number in range(3):
            user = user_pb2.User(email=f"idle_{number}@example.com", username=f"idle_{number}")
            await users.CreateUser(user_pb2.CreateUserRequest(user=user))
        assert len((await users.ListUsers(user_pb2.ListUsersRequest())).users) == 3
    with warnings.catch_warnings():
        # Nobody closes a connection that the server has ended, and the driver warns of that.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.parametrize("method", ["GetUser", "ListUsers", "UpdateUser"])
async def test_a_migration_beside_the_service_costs_no_caller_anything(postgres_url: str, method: str) -> None:
    """A statement that was prepared before a column changed is prepared again, unseen by its caller."""
    async with (
        serving(settings_for(postgres_url, pool_size=1)) as app,
        grpc.aio.insecure_channel(app.address) as channel,
        session(postgres_url) as migrator,
    ):
        users = user_pb2_grpc.UserServiceStub(channel)
        user = user_pb2.User(email="same@example.com", username="same")
        created = await users.CreateUser(user_pb2.CreateUserRequest(user=user))
        request = {
            "GetUser": user_pb2.GetUserRequest(name=created.name),
            "ListUsers": user_pb2.ListUsersRequest(),
            "UpdateUser": user_pb2.UpdateUserRequest(user=user_pb2.User(name=created.name, full_name="Changed")),
        }[method]
        call = getattr(users, method)
        await call(request)
        await migrator.execute("ALTER TABLE users ALTER full_name TYPE varchar(250)")
        assert await call(request)


def _connections(app: App, state: str) -> float:
    return sum(
        sample.value
        for family in app.registry.collect()
        for sample in family.samples
        if sample.name == "db_client_connection_count" and sample.labels["db_client_connection_state"] == state
    )
