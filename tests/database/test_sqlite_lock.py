"""A SQLite file that somebody else uses: their write lock, and a second service on it."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from marketplace.v1 import user_pb2, user_pb2_grpc, wallet_pb2, wallet_pb2_grpc
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from marketplace_service import SERVICE
from tablestakes.app import App, start
from tests.process import run, server


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Hold the write lock of a file, as a backup tool or a person at a prompt does."""
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


def execute(statement: str) -> Callable[[Connection], object]:
    """Return work that executes a statement."""
    return lambda connection: connection.exec_driver_sql(statement)


class Shop:
    """A service in this process, and the stubs of its users and wallets."""

    def __init__(self, app: App, channel: grpc.aio.Channel) -> None:
        self.app = app
        self.users: Any = user_pb2_grpc.UserServiceStub(channel)
        self.wallets: Any = wallet_pb2_grpc.WalletServiceStub(channel)

    async def user(self, name: str) -> str:
        """Create a user, and return its resource name."""
        user = user_pb2.User(email=f"{name}@example.com", username=name)
        created = await self.users.CreateUser(user_pb2.CreateUserRequest(user=user))
        return str(created.name)

    async def deposit(self, user: str, seconds: float | None = None) -> int:
        """Pay into a user's wallet, and return its balance."""
        request = wallet_pb2.DepositMoneyRequest(name=f"{user}/wallet", amount_cents=100)
        wallet = await self.wallets.DepositMoney(request, timeout=seconds)
        return int(wallet.balance_cents)


@asynccontextmanager
async def serving(path: Path | str, **given: Any) -> AsyncIterator[Shop]:
    """Serve a file in this process."""
    settings = SERVICE.settings.load(
        database_url=f"sqlite+aiosqlite:///{path}", listen="127.0.0.1:0", metrics_listen="127.0.0.1:0", **given
    )
    app = await start(SERVICE, settings)
    try:
        async with grpc.aio.insecure_channel(app.address) as channel:
            yield Shop(app, channel)
    finally:
        await app.drain()


async def test_a_write_gives_up_by_its_deadline_and_takes_no_effect(tmp_path: Path) -> None:
    """While another process has the write lock, a Deposit ends by its deadline, and nothing of it comes later."""
    async with serving(tmp_path / "shop.db") as shop:
        user = await shop.user("waits")
        loop = asyncio.get_running_loop()
        with write_lock(tmp_path / "shop.db"):
            start_ = loop.time()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await shop.deposit(user, seconds=1.0)
            took = loop.time() - start_
        print(f"a Deposit of a second's deadline took {took:.2f} s: {caught.value.code().name}")  # noqa: T201
        assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        assert await shop.deposit(user) == 100


async def test_a_write_without_a_deadline_ends_by_the_default(tmp_path: Path) -> None:
    """While another process has the write lock, a Deposit ends by the service's default deadline, and not begun."""
    async with serving(tmp_path / "shop.db", default_deadline=1.0) as shop:
        user = await shop.user("waits")
        loop = asyncio.get_running_loop()
        with write_lock(tmp_path / "shop.db"):
            start_ = loop.time()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await shop.deposit(user)
            took = loop.time() - start_
        print(f"a Deposit without a deadline took {took:.2f} s: {caught.value.code().name}")  # noqa: T201
        # A busy machine delays either by some tenths, and four waits in a row would take 4 seconds.
        assert took < 3 * shop.app.settings.default_deadline
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "The service is busy; this call was not begun."
        assert await shop.deposit(user) == 100


async def test_reads_do_not_wait_for_the_write_lock(tmp_path: Path) -> None:
    """While another process has the write lock, and writes wait for it, each Get and List answers."""
    async with serving(tmp_path / "shop.db") as shop:
        user = await shop.user("reads")
        with write_lock(tmp_path / "shop.db"):
            deposits = [asyncio.ensure_future(shop.deposit(user, seconds=30)) for _ in range(3)]
            for _ in range(20):
                got = await shop.users.GetUser(user_pb2.GetUserRequest(name=user), timeout=5)
                assert got.name == user
                await shop.users.ListUsers(user_pb2.ListUsersRequest(), timeout=5)
            assert not any(each.done() for each in deposits)
        assert sorted(await asyncio.gather(*deposits)) == [100, 200, 300]


async def test_a_read_sees_what_was_written_before_it(tmp_path: Path) -> None:
    """A Get that begins after a Create was answered finds the resource, on whatever connection."""
    async with serving(tmp_path / "shop.db") as shop:

        async def write_and_read(number: int) -> None:
            name = await shop.user(f"user_{number}")
            assert (await shop.users.GetUser(user_pb2.GetUserRequest(name=name))).name == name

        await asyncio.gather(*(write_and_read(number) for number in range(50)))


async def test_a_reading_connection_can_neither_write_nor_checkpoint(tmp_path: Path) -> None:
    """SQLite itself refuses a write and a checkpoint on the connections that only read."""
    async with serving(tmp_path / "shop.db") as shop:
        await shop.user("one")
        for statement in ("DELETE FROM users", "PRAGMA wal_checkpoint(TRUNCATE)"):
            with pytest.raises(OperationalError, match=r"readonly|disk I/O error"):
                await shop.app.database.run(execute(statement), reads=True)


@pytest.mark.parametrize("command", ["serve", "migrate"])
async def test_a_second_process_on_a_file_is_refused(command: str, tmp_path: Path) -> None:
    """While a service has a file, another and a migration end at once, with one line that names the process."""
    url = f"sqlite+aiosqlite:///{tmp_path}/shop.db"
    async with server(url) as serving_:
        flags = ("--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0") if command == "serve" else ()
        code, output, errors = await run(command, *flags, DATABASE_URL=url)
        assert (code, output) == (1, "")
        (line,) = errors.splitlines()
        assert f"shop.db is in use by another process (pid {serving_.process.pid})" in line


async def test_a_check_reads_beside_the_service(tmp_path: Path) -> None:
    """`check` verifies the schema of a file that is being served."""
    url = f"sqlite+aiosqlite:///{tmp_path}/shop.db"
    async with server(url):
        code, output, errors = await run("check", DATABASE_URL=url)
        assert (code, errors) == (0, "")
        assert "the schema is current" in output


async def test_a_crash_and_a_stop_release_the_file(tmp_path: Path) -> None:
    """After a SIGKILL, and after a stop, the next process has the file at once."""
    url = f"sqlite+aiosqlite:///{tmp_path}/shop.db"
    async with server(url) as first:
        first.process.kill()
        await first.stopped()
    async with server(url) as second:
        second.process.terminate()
        assert await second.stopped() == 0
    code, _, errors = await run("migrate", DATABASE_URL=url)
    assert (code, "in use" in errors) == (0, False)


async def test_a_database_in_memory_is_locked_by_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two services have a database in memory each, and leave no file behind."""
    monkeypatch.chdir(tmp_path)
    async with serving(":memory:") as one, serving(":memory:") as other:
        assert await one.user("first") == await other.user("first")
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a Path would block alike, and be refused for it
