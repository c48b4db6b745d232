"""The alerts of the four targets fire when their causes are made to happen, and at no other time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from marketplace.v1 import user_pb2, user_pb2_grpc
from sqlalchemy import text

from tablestakes.app import App
from tests.monitoring.alert_timeline import AlertTimeline, alerts_of
from tests.monitoring.incidents import full_pool, poke
from tests.monitoring.prometheus import program
from tests.postgres import Postgres, postgres
from tests.serving import create_database, eventually, serving, settings_for

TARGETS = alerts_of("targets.yaml")
P99, POOL, SLOW, CONNECTION = (
    "TablestakesQueryP99High",
    "TablestakesPoolFull",
    "TablestakesSlowQueries",
    "TablestakesConnectionErrors",
)
UNAVAILABLE = "TablestakesAvailabilityBudgetBurn"
# In each quiet minute: more than 100 within any five, so that one that a busy machine delays is not 1 % of them.
CALLS = 25

pytestmark = pytest.mark.usefixtures("_promtool")


@pytest.fixture(scope="module")
def _promtool() -> None:
    """Skip the tests that need promtool where it is not installed."""
    program("promtool")


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL that a test may stop."""
    with postgres() as server:
        yield server


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let scrapes follow each other without the pause that keeps rendering to a share of a core."""
    monkeypatch.setattr("tablestakes.telemetry.show.turns.SHARE", 1.0)


class Service:
    """A service with its default settings, and the timeline of its scrapes.

    Args:
        app: The service.
        channel: A client's connection to it.
        watched: The alerts that are looked at.
    """

    def __init__(self, app: App, channel: grpc.aio.Channel, watched: set[str]) -> None:
        self.app = app
        self.channel = channel
        self.users = user_pb2_grpc.UserServiceStub(channel)
        self.timeline = AlertTimeline(app, watched)

    async def minutes(self, number: int, *firing: str) -> None:
        """Let minutes pass in which all is well with the calls, and expect alerts at the end of each."""
        for _ in range(number):
            for _ in range(CALLS):
                await self.users.ListUsers(user_pb2.ListUsersRequest())
            await self.timeline.scrape(*firing)


@asynccontextmanager
async def recorded(url: str, tmp_path: Path, watched: set[str] = TARGETS) -> AsyncIterator[Service]:
    """Run a service through five quiet minutes and the body of a test, and verify which alerts fired when."""
    async with serving(settings_for(url)) as app, grpc.aio.insecure_channel(app.address) as channel:
        service = Service(app, channel, watched)
        await service.minutes(5)
        yield service
    service.timeline.verify(tmp_path)


async def test_statements_above_100_ms_fire_the_alert_of_the_p99(postgres_url: str, tmp_path: Path) -> None:
    """Statements of 120 ms fire it once they lasted five minutes; five minutes after the last one it is silent."""
    async with recorded(postgres_url, tmp_path) as service:
        # A kind of statement has no rate at its first scrape, so there is one scrape before the slow statements.
        await poke(service.channel, "slow")
        await service.minutes(1)

        async def slow_minute(*firing: str) -> None:
            await asyncio.gather(*(poke(service.channel, "slow", seconds=0.12) for _ in range(3)))
            await service.timeline.scrape(*firing)

        for _ in range(5):
            await slow_minute()
        for _ in range(3):
            await slow_minute(P99)
        await service.minutes(3, P99)
        await service.timeline.scrape_unwatched()
        await service.minutes(2)


async def test_a_full_pool_fires_its_alert(postgres_url: str, tmp_path: Path) -> None:
    """With every connection held it fires from the third look on, and is silent when one is given back."""
    async with recorded(postgres_url, tmp_path) as service:
        async with full_pool(service.app):
            await service.timeline.scrape()
            await service.timeline.scrape()
            for _ in range(3):
                await service.timeline.scrape(POOL)
        await service.minutes(3)


async def test_a_nearly_full_pool_fires_no_alert(postgres_url: str, tmp_path: Path) -> None:
    """With one connection left nothing fires, however long it lasts."""
    async with recorded(postgres_url, tmp_path) as service, full_pool(service.app, but=1):
        await service.minutes(10)


async def test_a_slow_statement_fires_its_alert(postgres_url: str, tmp_path: Path) -> None:
    """A statement of 600 ms fires it at once, for ten minutes, also if it is the first of its kind."""
    async with recorded(postgres_url, tmp_path) as service:
        await poke(service.channel, "slow", seconds=0.6)
        await service.timeline.scrape(SLOW)
        await service.minutes(8, SLOW)
        await service.timeline.scrape_unwatched()
        await service.minutes(2)


async def test_a_statement_that_waits_for_a_lock_fires_the_alert_of_slow_ones(
    postgres_url: str, tmp_path: Path
) -> None:
    """An UPDATE that waits 800 ms for a row of another transaction is slow, though the one before was not."""
    async with recorded(postgres_url, tmp_path) as service:
        user = user_pb2.User(email="locked@example.com", username="locked")
        made = await service.users.CreateUser(user_pb2.CreateUserRequest(user=user))
        update = user_pb2.UpdateUserRequest(user=user_pb2.User(name=made.name, full_name="Locked"))
        await service.users.UpdateUser(update)
        await service.minutes(2)
        async with service.app.database.engine.connect() as other:
            other = await other.execution_options(isolation_level="READ COMMITTED")  # noqa: PLW2901 - it is the same
            await other.execute(text("SELECT * FROM users FOR UPDATE"))
            waiting = asyncio.ensure_future(service.users.UpdateUser(update))
            await asyncio.sleep(0.8)
            await other.rollback()
        await waiting
        await service.timeline.scrape(SLOW)
        await service.minutes(8, SLOW)
        await service.timeline.scrape_unwatched()
        await service.minutes(2)


async def test_a_checkout_without_a_connection_fires_the_alert_of_connection_errors(
    postgres_url: str, tmp_path: Path
) -> None:
    """A call that gets no connection from a full pool fires it at once, for ten minutes."""
    async with recorded(postgres_url, tmp_path) as service:
        async with full_pool(service.app):
            with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
                await service.users.ListUsers(user_pb2.ListUsersRequest())
            await service.timeline.scrape(CONNECTION)
        await service.minutes(8, CONNECTION)
        await service.timeline.scrape_unwatched()
        await service.minutes(2)


async def test_a_stopped_database_fires_the_alert_of_connection_errors(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    """Without a database it fires at once, beside the alert of the budget, and ends after the database is back."""
    url = await create_database(own_postgres)
    async with recorded(url, tmp_path, {*TARGETS, UNAVAILABLE}) as service:
        await asyncio.to_thread(own_postgres.stop)
        try:
            for _ in range(3):
                with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
                    await service.users.ListUsers(user_pb2.ListUsersRequest())
                await service.timeline.scrape(CONNECTION, UNAVAILABLE)
        finally:
            await asyncio.to_thread(own_postgres.start)
        await eventually(lambda: not service.app.tasks.in_progress)
        # The budget that was spent is a ticket for as long as its window of six hours.
        await service.minutes(8, CONNECTION, UNAVAILABLE)
        await service.timeline.scrape_unwatched()
        await service.minutes(2, UNAVAILABLE)


async def test_a_quiet_quarter_of_an_hour_fires_nothing(postgres_url: str, tmp_path: Path) -> None:
    """With calls that end well, and calls that are refused for what their callers sent, no alert ever fires."""
    every = TARGETS | alerts_of("slo.yaml") | alerts_of("service.yaml")
    async with recorded(postgres_url, tmp_path, every) as service:
        for _ in range(15):
            with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
                await service.users.GetUser(user_pb2.GetUserRequest(name="users/0"))
            await service.minutes(1)
