"""The embedded default under load: 64 callers at once, and a process that is killed."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from marketplace.v1 import user_pb2, user_pb2_grpc

from tests.process import Process, server

CALLERS = 64
CALLS = int(os.environ.get("SQLITE_LOAD_CALLS", "512"))
# Each kill takes some seconds, for the process starts anew.
KILLS = int(os.environ.get("SQLITE_KILLS", "2"))


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[tuple[Process, Any]]:
    """Serve a database file in a process of its own, and yield the process and the users' stub."""
    async with (
        server(f"sqlite+aiosqlite:///{path}") as process,
        grpc.aio.insecure_channel(process.address) as channel,
    ):
        yield process, user_pb2_grpc.UserServiceStub(channel)


async def create(users: Any, name: str) -> str:
    """Create a user, and return its resource name."""
    user = user_pb2.User(email=f"{name}@example.com", username=name)
    created: user_pb2.User = await users.CreateUser(user_pb2.CreateUserRequest(user=user), timeout=20)
    return created.name


async def committed(process: Process) -> int:
    """Return how many transactions a server has committed."""
    page = await asyncio.to_thread(lambda: urlopen(process.metrics).read().decode())  # noqa: S310 - our own server
    lines = [line for line in page.splitlines() if line.startswith("db_client_transaction_seconds_count")]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if 'outcome="commit"' in line)


async def test_64_callers_are_all_served_and_share_commits(tmp_path: Path) -> None:
    """No CreateUser of 64 callers at once fails, and one sync of the disk serves several of them."""
    numbers, outcomes = iter(range(CALLS)), Counter[str]()

    async with serving(tmp_path / "load.db") as (process, users):

        async def call_on() -> None:
            for number in numbers:
                try:
                    await create(users, f"user_{number}")
                    outcomes["OK"] += 1
                except grpc.aio.AioRpcError as error:
                    outcomes[error.code().name] += 1

        before, start = await committed(process), time.perf_counter()
        await asyncio.gather(*(call_on() for _ in range(CALLERS)))
        seconds, commits = time.perf_counter() - start, await committed(process) - before
    print(f"{CALLS / seconds:.0f} CreateUser/s, {CALLS / max(1, commits):.0f} of them to a COMMIT")  # noqa: T201
    assert outcomes == {"OK": CALLS}
    assert 0 < commits < CALLS / 4


@pytest.mark.skipif(KILLS < 1, reason="none asked for")
async def test_an_acknowledged_write_outlives_a_kill(tmp_path: Path) -> None:
    """After each SIGKILL in the middle of a load, every user is there whose Create was answered."""
    acknowledged: list[str] = []

    async def call_on(users: Any, caller: str) -> None:
        for number in range(10_000):
            try:
                acknowledged.append(await create(users, f"{caller}_{number}"))
            except grpc.aio.AioRpcError:
                return

    for kill in range(KILLS):
        async with serving(tmp_path / "killed.db") as (process, users):
            callers = [asyncio.ensure_future(call_on(users, f"kill_{kill}_{caller}")) for caller in range(16)]
            goal = len(acknowledged) + 50 + kill * 7
            while len(acknowledged) < goal:  # noqa: ASYNC110 - each answer adds to it
                await asyncio.sleep(0.002)
            process.process.kill()
            await asyncio.gather(*callers)
    async with serving(tmp_path / "killed.db") as (_, users):
        found: set[str] = set()
        token = ""
        while True:
            page = await users.ListUsers(user_pb2.ListUsersRequest(page_size=1000, page_token=token))
            found |= {user.name for user in page.users}
            if not (token := page.next_page_token):
                break
    print(f"{KILLS} kills, {len(acknowledged)} acknowledged, {len(set(acknowledged) - found)} lost")  # noqa: T201
    assert set(acknowledged) <= found
