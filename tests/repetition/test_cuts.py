"""Connections to PostgreSQL that are cut: with a request_id nothing is lost or done twice, and no status lies.

How many operations there are is the environment variable CUT_OPERATIONS; 60 without it, with fewer cuts.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import asyncpg
import grpc
import pytest
from marketplace.v1 import user_pb2, user_pb2_grpc, wallet_pb2, wallet_pb2_grpc
from sqlalchemy import make_url

from tests.repetition.cutter import MOMENTS, Cutter, cutting
from tests.serving import create_database, serving, settings_for
from tests.status import Refusal, refusal

OPERATIONS = int(os.environ.get("CUT_OPERATIONS", "60"))
# Of an operation's several round trips each may be cut.
LEAST_CUTS = OPERATIONS // 10
SHARE = 0.06
CALLERS = 8
TRIES = 100


@dataclass
class Cut:
    """A service whose connections to its database are cut, and a way to its database past that."""

    users: Any
    wallets: Any
    cutter: Cutter
    database: Any
    counted: Counter[str] = field(default_factory=Counter)


@pytest.fixture
async def cut(server_of_postgres: Any) -> AsyncIterator[Cut]:
    """A service behind a proxy."""
    url = make_url(await create_database(server_of_postgres))
    async with cutting(str(url.host), int(url.port or 5432)) as cutter:
        behind = url.set(host="127.0.0.1", port=cutter.port).render_as_string(hide_password=False)
        async with serving(settings_for(behind, pool_timeout=5)) as app:
            straight = url.set(drivername="postgresql").render_as_string(hide_password=False)
            database = await asyncpg.connect(straight)
            async with grpc.aio.insecure_channel(app.address) as channel:
                yield Cut(
                    user_pb2_grpc.UserServiceStub(channel),
                    wallet_pb2_grpc.WalletServiceStub(channel),
                    cutter,
                    database,
                )
            await database.close()
            cutter.share = 0.0


async def attempt(call: Any) -> tuple[bool, Refusal | None]:
    """Return whether a call's answer is one that was given before; or else the status by which it failed."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return False, refusal(error)
    return ("idempotent-replayed", "true") in tuple(await call.initial_metadata()), None


async def repeated(cut: Cut, method: Any, request: Any) -> None:
    """Repeat a call until it is answered, and check what its statuses claim on the way."""
    claims = []
    for _ in range(TRIES):
        replayed, refused = await attempt(method(request, timeout=30))
        if refused is None:
            if replayed:
                cut.counted["replayed"] += 1
                assert "unknown" in claims, "it was applied, and every status said that it was not"
            cut.counted["answered"] += 1
            return
        assert refused.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED), refused
        assert refused.retry_delay is not None, refused
        claims.append(refused.info.metadata["outcome"])
        cut.counted["refused"] += 1
    raise AssertionError("it was never answered")


async def each(count: int, operate: Any) -> None:
    """Run numbered operations, several at a time."""
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            await operate(number)

    async with asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(caller())


async def test_with_a_request_id_cuts_neither_lose_nor_double_anything(cut: Cut) -> None:
    """Users and deposits that are repeated through cuts are each there exactly once."""
    rich = await cut.users.CreateUser(
        user_pb2.CreateUserRequest(user=user_pb2.User(email="rich@example.com", username="rich"))
    )
    cut.cutter.share = SHARE

    async def operate(number: int) -> None:
        id_ = str(uuid4())
        if number % 2:
            deposit = wallet_pb2.DepositMoneyRequest(name=f"{rich.name}/wallet", amount_cents=1, request_id=id_)
            await repeated(cut, cut.wallets.DepositMoney, deposit)
        else:
            user = user_pb2.User(email=f"user{number}@example.com", username=f"user_{number}")
            await repeated(cut, cut.users.CreateUser, user_pb2.CreateUserRequest(user=user, request_id=id_))

    await each(OPERATIONS, operate)
    cut.cutter.share = 0.0
    print(dict(cut.counted), dict(cut.cutter.cuts))  # noqa: T201 - the counts of a long run
    assert await cut.database.fetchval("SELECT count(*) FROM users") == 1 + (OPERATIONS + 1) // 2
    assert await cut.database.fetchval("SELECT sum(balance_cents) FROM wallets") == OPERATIONS // 2
    assert cut.counted["answered"] == await cut.database.fetchval("SELECT count(*) FROM request_ids") == OPERATIONS
    assert cut.cutter.cuts.total() >= LEAST_CUTS
    assert all(cut.cutter.cuts[moment] for moment in MOMENTS)


async def test_without_one_no_status_says_not_applied_of_what_was(cut: Cut) -> None:
    """A user whose creation was OK is there, and one whose status says `not_applied` is not."""
    cut.cutter.share = 0.3
    outcomes: dict[str, str] = {}

    async def operate(number: int) -> None:
        user = user_pb2.User(email=f"user{number}@example.com", username=f"user_{number}")
        _, refused = await attempt(cut.users.CreateUser(user_pb2.CreateUserRequest(user=user), timeout=30))
        outcomes[user.username] = "applied" if refused is None else refused.info.metadata["outcome"]

    await each(OPERATIONS, operate)
    cut.cutter.share = 0.0
    there = {row["username"] for row in await cut.database.fetch("SELECT username FROM users")}
    print(Counter(outcomes.values()), dict(cut.cutter.cuts))  # noqa: T201 - the counts of a long run
    assert set(outcomes.values()) == {"applied", "unknown"}
    assert {name for name, outcome in outcomes.items() if outcome == "applied"} <= there
    assert there <= {name for name, outcome in outcomes.items() if outcome != "not_applied"}
    assert any(outcome == "unknown" and name in there for name, outcome in outcomes.items())
