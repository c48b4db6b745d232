"""docs/backup.md: its commands, run as they stand while the service takes writes."""

import asyncio
import os
import re
import sys
from pathlib import Path

import grpc
from marketplace.v1 import user_pb2, user_pb2_grpc

from tests.postgres import Postgres
from tests.process import finished
from tests.serving import serving, settings_for

PAGE = Path(__file__).resolve().parents[2] / "docs" / "backup.md"
PROGRAMS = Path(sys.prefix, "bin")
# Users that are there before the backup, and those that are written beside it.
BEFORE, BESIDE = 20, 200


def command(name: str) -> str:
    """Return the commands of the page below a comment."""
    found = re.search(
        rf"^<!-- {re.escape(name)} -->\n\n```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    assert found is not None, name
    return found[1]


async def sh(script: str, folder: Path, *programs: Path, **environment: str) -> None:
    """Run commands of the page in a folder; they must succeed."""
    path = os.pathsep.join([*map(str, programs), str(PROGRAMS), os.environ["PATH"]])
    code, output, errors = await finished("sh", "-euc", f"cd {folder}\n{script}", PATH=path, **environment)
    assert code == 0, output + errors


def user(number: int) -> user_pb2.CreateUserRequest:
    """Return a request for a user who has a number."""
    return user_pb2.CreateUserRequest(user=user_pb2.User(email=f"u{number}@example.com", username=f"user_{number}"))


async def backed_up(
    url: str, script: str, folder: Path, *programs: Path, **environment: str
) -> list[user_pb2.User]:
    """Serve a database, back it up while users are written, and return those that were there before."""
    async with serving(settings_for(url)) as app, grpc.aio.insecure_channel(app.address) as channel:
        users = user_pb2_grpc.UserServiceStub(channel)
        before = [await users.CreateUser(user(number)) for number in range(BEFORE)]
        backup = asyncio.ensure_future(sh(script, folder, *programs, **environment))
        for number in range(BEFORE, BEFORE + BESIDE):
            await users.CreateUser(user(number))
            if backup.done():
                break
        await backup
        # After the backup: it cannot have this one.
        await users.CreateUser(user(10_000))
    return before


async def verify(url: str, before: list[user_pb2.User]) -> None:
    """Serve what was restored: all that was there before, a moment's worth of the rest, and room for more."""
    async with serving(settings_for(url)) as app, grpc.aio.insecure_channel(app.address) as channel:
        users = user_pb2_grpc.UserServiceStub(channel)
        found = list((await users.ListUsers(user_pb2.ListUsersRequest(page_size=1000))).users)
        assert found[:BEFORE] == before
        # One moment: users were written one after the other, so none is missing before the last that is there.
        assert [each.username for each in found] == [f"user_{number}" for number in range(len(found))]
        made = await users.CreateUser(user(20_000))
        assert made.name not in {each.name for each in found}


async def test_a_dump_of_postgresql_is_restored(tmp_path: Path, server_of_postgres: Postgres) -> None:
    """pg_dump takes one moment of a database that is written to; pg_restore and migrate make one that is served."""
    postgres = server_of_postgres
    libpq = f"postgresql://postgres@127.0.0.1:{postgres.port}"
    environment = {
        "DATABASE": f"{libpq}/backed_up",
        "MAINTENANCE": f"{libpq}/postgres",
        "RESTORED": f"{libpq}/restored",
        "RESTORED_URL": postgres.url("restored"),
    }
    await sh('createdb --maintenance-db="$MAINTENANCE" backed_up', tmp_path, postgres.programs, **environment)
    before = await backed_up(
        postgres.url("backed_up"), command("PostgreSQL: back up"), tmp_path, postgres.programs, **environment
    )
    await sh(command("PostgreSQL: restore"), tmp_path, postgres.programs, **environment)
    await verify(postgres.url("restored"), before)


async def test_a_backup_of_sqlite_is_restored(tmp_path: Path) -> None:
    """SQLite's backup API takes one moment of a database that is written to; its copy is served in its place."""
    database = tmp_path / "tablestakes.db"
    url = f"sqlite+aiosqlite:///{database}"
    before = await backed_up(url, command("SQLite: back up"), tmp_path, DATABASE=str(database))
    await sh(command("SQLite: restore"), tmp_path, DATABASE=str(database))
    await verify(url, before)
