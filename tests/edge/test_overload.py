"""Overload: a server whose calls each hold a connection for a while, and more callers than it can serve."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from marketplace.v1 import tag_pb2, tag_pb2_grpc
from sqlalchemy import text

from marketplace_service import SERVICE
from tablestakes import Call, Priority, Schema, Session, Work
from tablestakes.app import App
from tablestakes.testing import serving as testing
from tests.serving import eventually
from tests.status import Refusal, refusal

# Seconds that a statement takes, and how many run at once.
NAP, POOL = 0.05, 2
_NAP = text("WITH counted AS (SELECT nextval('naps')) SELECT pg_sleep(:seconds) FROM counted")


async def nap(_tags: Schema, _call: Call[Any]) -> Work[Message]:
    """Sleep in the database, where it is counted."""

    def sleep(session: Session) -> Message:
        session.connection.execute(_NAP, {"seconds": NAP})
        found: Message = tag_pb2.Tag(name="tags/nap")
        return found

    return Work(sleep)


PRIORITIES = {"marketplace.v1.TagService/CreateTag": Priority.CRITICAL}
DROWSY = replace(
    SERVICE,
    resources=[
        replace(each, methods={**each.methods, "GetTag": nap, "CreateTag": nap})
        if each.message is tag_pb2.Tag
        else each
        for each in SERVICE.resources
    ],
    priorities=PRIORITIES,
)


@asynccontextmanager
async def drowsy(url: str, **given: Any) -> AsyncIterator[tuple[App, grpc.aio.Channel]]:
    """Run the server, and connect to it."""
    settings = testing.settings_for(DROWSY, url, pool_size=POOL, **given)
    async with testing.serving(DROWSY, settings) as app, grpc.aio.insecure_channel(app.address) as channel:
        await app.database.run(lambda connection: connection.execute(text("CREATE SEQUENCE naps")))
        yield app, channel


async def naps(app: App) -> int:
    """Return how many statements have run, as the database counted them."""
    count = text("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM naps")
    return int(await app.database.run(lambda connection: connection.scalar(count)))


async def outcome(call: Any) -> Refusal | None:
    """Return why a call was refused, None where it was answered."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        if error.code() is StatusCode.DEADLINE_EXCEEDED:
            return Refusal(error.code(), "", None, {}, {}, None)  # type: ignore[arg-type] # the client's own has none
        return refusal(error)
    return None


def sample(app: App, name: str, **labels: str) -> float:
    """Return a sample of the server's metrics."""
    value = app.registry.get_sample_value(name, labels)
    assert value is not None, name
    return value


def get(channel: grpc.aio.Channel, seconds: float | None = None) -> Any:
    """Call GetTag."""
    stub: Any = tag_pb2_grpc.TagServiceStub(channel)
    return stub.GetTag(tag_pb2.GetTagRequest(name="tags/nap"), timeout=seconds)


def create(channel: grpc.aio.Channel, seconds: float | None = None) -> Any:
    """Call CreateTag."""
    stub: Any = tag_pb2_grpc.TagServiceStub(channel)
    request = tag_pb2.CreateTagRequest(tag_id="nap", tag=tag_pb2.Tag(display_name="Nap"))
    return stub.CreateTag(request, timeout=seconds)


async def test_few_statements_run_in_vain(postgres_url: str) -> None:
    """Of ten times as many calls as can end by their deadline most are refused, and what runs is answered."""
    async with drowsy(postgres_url) as (app, channel):
        await asyncio.gather(*(get(channel) for _ in range(8)))
        before = await naps(app)
        most = 10 * NAP
        found = await asyncio.gather(*(outcome(get(channel, most)) for _ in range(int(10 * POOL * most / NAP))))
        ran, answered = await naps(app) - before, found.count(None)
        assert answered >= POOL * most / NAP / 4
        assert ran <= answered * 1.5
        refused = [each for each in found if each is not None and each.code is not StatusCode.DEADLINE_EXCEEDED]
        assert len(refused) > len(found) / 2
        for each in refused:
            assert each.code is StatusCode.UNAVAILABLE
            assert each.info.reason in {"OVERLOADED", "DEADLINE_TOO_SHORT"}
            assert each.retry_delay
        reasons = ("limit", "deadline", "late", "displaced")
        counted = [sample(app, "admission_refused_total", priority="normal", reason=each) for each in reasons]
        assert sum(counted) >= len(refused)
        await eventually(lambda: not sample(app, "admission_in_progress"))
        assert not sample(app, "admission_queued", priority="normal")


async def test_a_write_that_is_refused_says_that_it_was_not_applied(postgres_url: str) -> None:
    """A write that is turned away has an outcome as any other failed write: it was not applied."""
    async with drowsy(postgres_url, admission="fixed", max_in_progress=1, queue_seconds=0) as (_app, channel):
        found = await asyncio.gather(*(outcome(create(channel)) for _ in range(20)))
        refused = [each for each in found if each is not None]
        assert refused
        assert None in found
        for each in refused:
            assert (each.info.reason, each.info.metadata["outcome"]) == ("OVERLOADED", "not_applied")


async def test_health_answers_before_anybody(postgres_url: str) -> None:
    """While every place is taken and callers wait, health is answered in less time than one of them takes."""
    async with drowsy(postgres_url, admission="fixed", max_in_progress=1) as (app, channel):
        calls = [asyncio.ensure_future(outcome(get(channel))) for _ in range(40)]
        await eventually(lambda: sample(app, "admission_queued", priority="normal"))
        check = health_pb2_grpc.HealthStub(channel).Check
        answer = await check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert not all(call.done() for call in calls)
        await asyncio.gather(*calls)


async def test_the_higher_priority_is_served_first(postgres_url: str) -> None:
    """Calls of a critical method that come last are answered before those of others that have waited."""
    ended = []

    async def note(name: str, call: Any) -> None:
        await call
        ended.append(name)

    async with drowsy(postgres_url, admission="fixed", max_in_progress=1, queue_seconds=30) as (app, channel):
        normal = [asyncio.ensure_future(note("normal", get(channel))) for _ in range(24)]
        await eventually(lambda: sample(app, "admission_queued", priority="normal") >= 20)
        await asyncio.gather(*(note("critical", create(channel)) for _ in range(3)))
        after = len(normal) - ended.count("normal")
        await asyncio.gather(*normal)
        # Some of those that had waited may have begun before the critical ones arrived, and not all of them.
        assert after >= len(normal) // 2


async def test_who_leaves_while_it_waits_is_not_begun(postgres_url: str) -> None:
    """A call whose caller cancels it in the line sends no statement."""
    async with drowsy(postgres_url, admission="fixed", max_in_progress=1, queue_seconds=30) as (app, channel):
        first = get(channel)
        await eventually(lambda: sample(app, "admission_in_progress"))
        waiting = [get(channel) for _ in range(5)]
        started = [asyncio.ensure_future(outcome(each)) for each in waiting]
        await eventually(lambda: sample(app, "admission_queued", priority="normal") >= 3)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*started, return_exceptions=True)
        await eventually(lambda: not sample(app, "admission_queued", priority="normal"))
        await first
        await eventually(lambda: not sample(app, "admission_in_progress"))
        assert await naps(app) <= 3
        assert sample(app, "admission_left_total", priority="normal") >= 3


async def test_work_whose_caller_left_keeps_its_place(postgres_url: str) -> None:
    """A statement that runs on for a caller who has left is in progress until it ends."""
    async with drowsy(postgres_url, admission="fixed", max_in_progress=1, queue_seconds=0) as (app, channel):
        call = get(channel)
        running = asyncio.ensure_future(outcome(call))
        # In the database: it is counted there before it sleeps.
        for _ in range(1000):
            if await naps(app):
                break
        call.cancel()
        await asyncio.wait([running])
        in_progress, left = sample(app, "admission_in_progress"), app.tasks.in_progress
        assert in_progress == 1 or not left
        await eventually(lambda: not sample(app, "admission_in_progress"))
        assert await outcome(get(channel)) is None


async def test_callers_have_a_rate(postgres_url: str) -> None:
    """A caller beyond its rate is refused with the time after which it may call again, and then may."""
    async with drowsy(postgres_url, calls_per_second=4, burst=2) as (app, channel):
        found = [await outcome(get(channel)) for _ in range(3)]
        refused = found[-1]
        assert found[:2] == [None, None]
        assert refused is not None
        assert (refused.code, refused.info.reason) == (StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        assert refused.retry_delay is not None
        assert 0 < refused.retry_delay <= 0.25
        await asyncio.sleep(refused.retry_delay)
        assert await outcome(get(channel)) is None
        assert sample(app, "admission_refused_total", priority="normal", reason="rate") == 1


async def test_a_fixed_bound_needs_its_number() -> None:
    """Asking for a fixed bound without saying which is a mistake of the settings, and is named."""
    with pytest.raises(Exception, match=r"--max-in-progress"):
        testing.settings_for(DROWSY, "sqlite+aiosqlite:///x.db", admission="fixed")


async def test_nothing_is_bounded_where_it_is_off(postgres_url: str) -> None:
    """With admission off every call is begun, and none is counted as in progress."""
    async with drowsy(postgres_url, admission="off") as (app, channel):
        began = time.monotonic()
        found = await asyncio.gather(*(outcome(get(channel)) for _ in range(8)))
        assert found.count(None) == 8
        assert time.monotonic() - began >= 8 / POOL * NAP
        assert sample(app, "admission_limit") == 0
