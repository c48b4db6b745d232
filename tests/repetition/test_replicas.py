"""Replicas share request ids: whichever is called, and however many at once, there is one effect and one answer."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import asyncpg
import grpc
from marketplace.v1 import user_pb2
from sqlalchemy import make_url

from tests.process import migrated, server

CALLS = 50
CREATE = "/marketplace.v1.UserService/CreateUser"


async def test_fifty_calls_at_two_processes_make_one_row(postgres_url: str) -> None:
    """Of 50 identical Creates at two processes one makes a row, and all get its answer, as after a restart."""
    request = user_pb2.CreateUserRequest(
        user=user_pb2.User(email="once@example.com", username="once", password="a password of some length"),
        request_id=str(uuid4()),
    ).SerializeToString()
    answers: Counter[bytes] = Counter()
    replayed = 0

    async def create(channel: grpc.aio.Channel) -> None:
        nonlocal replayed
        send: Any = channel.unary_unary(CREATE)
        call = send(request, timeout=60)
        answers[await call] += 1
        replayed += ("idempotent-replayed", "true") in tuple(await call.initial_metadata())

    url = await migrated(postgres_url)
    async with (
        server(url) as first,
        server(url) as second,
        grpc.aio.insecure_channel(first.address) as one,
        grpc.aio.insecure_channel(second.address) as other,
    ):
        await asyncio.gather(*(create((one, other)[number % 2]) for number in range(CALLS)))
        first.process.terminate()
        assert await first.stopped() == 0
    async with server(url) as third, grpc.aio.insecure_channel(third.address) as again:
        await create(again)
    database = await asyncpg.connect(make_url(url).set(drivername="postgresql").render_as_string(False))
    assert await database.fetchval("SELECT count(*) FROM users") == 1
    assert await database.fetchval("SELECT count(*) FROM request_ids") == 1
    await database.close()
    assert list(answers.values()) == [CALLS + 1]
    assert replayed == CALLS
