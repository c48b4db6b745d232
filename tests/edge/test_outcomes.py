"""What a failed write says of itself: whether it was applied is known, or it is not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import grpc
import pytest
from sqlalchemy import make_url

from tablestakes.app import App
from tests.gadgets import gadget_pb2, gadget_pb2_grpc
from tests.serving import create_database, eventually, serving, settings_for
from tests.status import Refusal, refusal


@pytest.fixture
async def served(server_of_postgres: Any) -> AsyncIterator[tuple[App, str]]:
    """A server, and the address of its PostgreSQL database for asyncpg."""
    url = await create_database(server_of_postgres)
    async with serving(settings_for(url)) as running:
        yield running, make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


async def terminated(app: App, database: str, how: str) -> Refusal:
    """Return what a call is told whose connection is ended while its statement runs."""
    async with grpc.aio.insecure_channel(app.address) as channel:
        gadgets = gadget_pb2_grpc.GadgetServiceStub(channel)
        call = gadgets.PokeGadget(gadget_pb2.PokeGadgetRequest(how=how, seconds=30), timeout=60)
        admin = await asyncpg.connect(database)
        try:
            sleeping = "FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid <> pg_backend_pid()"
            async with asyncio.timeout(60):
                while not await admin.fetchval(f"SELECT count(*) {sleeping}"):  # noqa: ASYNC110 - no event tells it
                    await asyncio.sleep(0.05)
            await admin.fetch(f"SELECT pg_terminate_backend(pid) {sleeping}")
        finally:
            await admin.close()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
    return refusal(caught.value)


async def test_a_connection_lost_under_a_statement_leaves_the_outcome_unknown(served: tuple[App, str]) -> None:
    """A write in autocommit whose connection is lost is `unknown`, and does not invite its repetition."""
    told = await terminated(*served, "slow")
    assert told.code is grpc.StatusCode.UNAVAILABLE
    assert (told.info.reason, told.info.metadata["outcome"]) == ("OUTCOME_UNKNOWN", "unknown")
    assert told.retry_delay is None


async def test_a_connection_lost_before_commit_is_not_applied(served: tuple[App, str]) -> None:
    """A write whose connection is lost in a transaction before COMMIT is `not_applied`, and may be repeated."""
    told = await terminated(*served, "slow in a transaction")
    assert told.code is grpc.StatusCode.UNAVAILABLE
    assert (told.info.reason, told.info.metadata["outcome"]) == ("DATABASE_UNAVAILABLE", "not_applied")
    assert told.retry_delay == 1.0


async def test_a_late_write_is_unknown(served: tuple[App, str]) -> None:
    """A write that has begun when the service's deadline passes is `unknown`."""
    app, _ = served
    async with grpc.aio.insecure_channel(app.address) as channel:
        gadgets = gadget_pb2_grpc.GadgetServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            # Longer than the reserve for the way back, so that the service's answer arrives before the deadline.
            await gadgets.PokeGadget(gadget_pb2.PokeGadgetRequest(how="slow", seconds=4), timeout=2)
        await eventually(lambda: app.tasks.in_progress == 0)
    if caught.value.trailing_metadata():
        told = refusal(caught.value)
        assert (told.code, told.info.metadata["outcome"]) == (grpc.StatusCode.DEADLINE_EXCEEDED, "unknown")
        assert told.retry_delay is None
