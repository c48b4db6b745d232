"""A database that goes away: callers are told so, and the service heals without a restart."""

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from marketplace.v1 import user_pb2, user_pb2_grpc

from server.app import App
from tests.postgres import Postgres, postgres
from tests.serving import create_database, serving, settings_for
from tests.status import Refusal, refusal


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL that a test may stop and freeze."""
    with postgres() as server:
        yield server


async def refused(users: Any, deadline: float = 10) -> Refusal:
    """Return what a Get is told while the database is away."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await users.GetUser(user_pb2.GetUserRequest(name="users/1"), timeout=deadline)
    return refusal(caught.value)


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
            assert _used(app) == 0, "a failed connect must not leak a place in the pool"
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
        own_postgres.pause()
        try:
            started = asyncio.get_running_loop().time()
            told = await asyncio.gather(*(refused(users, deadline=1.0) for _ in range(4)))
            assert asyncio.get_running_loop().time() - started < 1.5
            assert {each.code for each in told} <= {
                grpc.StatusCode.DEADLINE_EXCEEDED,
                grpc.StatusCode.UNAVAILABLE,
            }
        finally:
            own_postgres.resume()
        async with asyncio.timeout(15):
            while True:
                try:
                    await users.ListUsers(user_pb2.ListUsersRequest())
                    break
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.1)


def _used(app: App) -> float:
    labels = {"db_system_name": "postgresql", "db_client_connection_pool_name": "default", "state": "used"}
    return app.registry.get_sample_value("db_client_connection_count", labels) or 0.0
