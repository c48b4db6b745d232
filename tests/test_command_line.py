"""The command line, in processes of its own as an operator runs it."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import pytest
from alembic.script import ScriptDirectory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from marketplace.v1 import user_pb2, user_pb2_grpc
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

from marketplace_service import SERVICE
from tablestakes import Command, CommandError, SettingsError
from tablestakes.edge.ask_health import ask_health
from tablestakes.settings import Settings, default, flag
from tests.postgres import free_port
from tests.process import HANGS, Process, called, finished, migrated, run, run_each, server
from tests.serving import eventually


async def test_sigterm_under_load_ends_every_started_call(empty_url: str) -> None:
    """SIGTERM while calls are in progress: each one that started ends well, and the exit code is 0."""
    running: Process
    async with (
        server(await migrated(empty_url), "--access-log=info") as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        users = user_pb2_grpc.UserServiceStub(channel)
        acknowledged: set[str] = set()
        failures: list[grpc.aio.AioRpcError] = []

        async def create(worker: int) -> None:
            for number in range(10_000):
                name = f"drain_{worker}_{number}"
                request = user_pb2.CreateUserRequest(user=user_pb2.User(email=f"{name}@example.com", username=name))
                try:
                    acknowledged.add((await users.CreateUser(request)).name)
                except grpc.aio.AioRpcError as error:
                    failures.append(error)
                    return

        load = [asyncio.ensure_future(create(worker)) for worker in range(8)]
        await eventually(lambda: len(acknowledged) > len(load), HANGS)
        running.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*load)
        assert await running.stopped() == 0
    ended = [line for line in map(json.loads, running.lines) if line["event"] == "rpc"]
    assert acknowledged
    # What came after the signal was refused before it was begun.
    assert {line["code"] for line in ended} <= {"OK", "Unavailable"}
    answered = [line for line in ended if line["code"] == "OK"]
    assert len(answered) == len(acknowledged) == await _count(empty_url), "every started call ended, and is kept"
    assert {failure.code() for failure in failures} == {grpc.StatusCode.UNAVAILABLE}


async def _count(url: str) -> int:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        return int(await connection.scalar(text("SELECT count(*) FROM users")) or 0)


async def test_sigint_stops_it_too(tmp_path: Path) -> None:
    """Ctrl-C drains and exits with 0."""
    async with server(f"sqlite+aiosqlite:///{tmp_path}/c.db") as running:
        running.process.send_signal(signal.SIGINT)
        assert await running.stopped() == 0


async def test_an_open_watch_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """A health Watch that its caller keeps open ends with the server, long before the grace of calls is over."""
    async with (
        # The grace is longer than the test waits: a Watch that used it up would not end in time.
        server(f"sqlite+aiosqlite:///{tmp_path}/w.db", f"--drain-grace={10 * HANGS}") as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        watch: Any = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        running.process.send_signal(signal.SIGTERM)
        assert await running.stopped() == 0


async def test_sigterm_during_the_start_ends_it(tmp_path: Path) -> None:
    """SIGTERM while the start still waits, for a database that another holds, is an end without an error."""
    path = tmp_path / "held.db"
    held = sqlite3.connect(path, isolation_level=None)
    held.execute("BEGIN EXCLUSIVE")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "serve", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0"),
        *("--log-level=debug", "--log-format=json"),
        env=os.environ | {"DATABASE_URL": f"sqlite+aiosqlite:///{path}"},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(HANGS):
            # The last line that it logs before it waits.
            assert json.loads(await process.stderr.readline())["event"] == "database"
            process.send_signal(signal.SIGTERM)
            _, errors = await process.communicate()
        assert process.returncode == 0
        assert not errors, errors.decode()
    finally:
        held.close()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_health_is_answered_by_its_exit_code(tmp_path: Path) -> None:
    """`health` ends with 0 where the server serves, and otherwise says in one line why not."""
    async with server(f"sqlite+aiosqlite:///{tmp_path}/h.db") as running:
        port = running.address.rpartition(":")[2]
        for listen in (running.address, f"0.0.0.0:{port}"):
            assert await ask_health(listen, "", HANGS) == "SERVING"
        asked, unknown = await run_each(
            ["health", "--service=marketplace.v1.UserService"],
            ["health", "--service=no.Such"],
            TABLESTAKES_LISTEN=running.address,
        )
        assert asked == (0, "SERVING\n", "")
        assert unknown == (1, "", f"tablestakes: {running.address} has no service no.Such\n")
    code, output, errors = await run("health", f"--listen={running.address}", https_proxy="http://127.0.0.1:9")
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert errors.startswith(f"tablestakes: {running.address} does not answer: UNAVAILABLE")


async def test_health_bounds_its_wait() -> None:
    """A server that takes connections and never answers is not healthy, and a bad bound is misuse."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        code, _, errors = await run("health", f"--listen={address}", "--within=0.5")
        assert code == 1
        assert errors.startswith(f"tablestakes: {address} does not answer: ")
    for wrong in ("0", "soon", "nan"):
        code, _, errors = await asyncio.to_thread(called, "health", f"--within={wrong}")
        assert (code, errors) == (2, "tablestakes: --within: not a number of seconds above 0\n")


async def test_routes_lists_each_rpc() -> None:
    """`routes` prints each RPC, what serves it, and the table behind it."""
    code, output, _ = await run("routes")
    assert code == 0
    rows = [line.split() for line in output.splitlines()]
    assert ["/marketplace.v1.UserService/ListUsers", "list", "users"] in rows


def test_help_documents_every_setting() -> None:
    """`serve --help` shows each setting with its flag, its variable, its default and its meaning."""
    code, output, _ = called("serve", "--help")
    assert code == 0
    words = " ".join(output.split())
    for name, field in Settings.model_fields.items():
        assert f"{flag(name)} ({Settings.variable(name)})" in words
        assert " ".join(f"{field.description} Default: {default(field)}".split()) in words


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (("--listen=nowhere",), {}, "--listen (TABLESTAKES_LISTEN): not host:port"),
        ((), {"TABLESTAKES_POOL_SIZE": "many"}, "--pool-size (TABLESTAKES_POOL_SIZE): "),
        ((), {"DATABASE_URL": "mysql://x"}, "--database-url (DATABASE_URL): mysql is not served"),
        (("--database-url=oh no",), {}, "--database-url (DATABASE_URL): not a database URL"),
        (
            (),
            {"DATABASE_URL": "postgresql://u:p@ss:5ecret@h/db"},
            "--database-url (DATABASE_URL): not a database URL",
        ),
        (
            (),
            {"DATABASE_URL": "postgresql://h/db?password=5ecret"},
            "--database-url (DATABASE_URL): password is not",
        ),
        (("--listen=::1:5",), {}, "--listen (TABLESTAKES_LISTEN): not host:port"),
        (("--listen=unix:5",), {}, "--listen (TABLESTAKES_LISTEN): not host:port"),
    ],
)
def test_a_bad_setting_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], environment: dict[str, str], told: str
) -> None:
    """A bad value, by flag or by variable, is named with what is wrong, in one line."""
    code, _, errors = called("serve", *arguments, environment=environment)
    assert code == 2
    assert errors.startswith(f"tablestakes: {told}")
    assert len(errors.splitlines()) == 1
    assert "5ecret" not in errors


async def test_a_process_ends_with_the_exit_code() -> None:
    """The exit code and the line are those of the process, as a shell sees them."""
    for arguments in (("serve", "--listen=nowhere"), ("serve", "--pool-siz=3")):
        assert await run(*arguments) == called(*arguments)


def test_a_misspelt_flag_is_refused() -> None:
    """A flag that does not exist, or is cut short, is misuse."""
    for wrong in ("--lissten=127.0.0.1:0", "--pool-siz=3"):
        code, _, errors = called("serve", wrong)
        assert code == 2
        assert "unrecognized arguments" in errors


@pytest.mark.parametrize("flag", ["listen", "metrics-listen"])
async def test_an_address_in_use_is_one_line(tmp_path: Path, flag: str) -> None:
    """An address that is taken is reported in one line, with exit code 1, for gRPC and for metrics."""
    async with server(f"sqlite+aiosqlite:///{tmp_path}/a.db") as running:
        code, _, errors = await run(
            "serve",
            *("--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", f"--{flag}={running.address}"),
            DATABASE_URL=f"sqlite+aiosqlite:///{tmp_path}/b.db",
        )
    assert code == 1
    assert errors.startswith(f"tablestakes: cannot listen on {running.address}: ")
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("flag", ["listen", "metrics-listen"])
async def test_an_address_that_is_none_is_one_line(tmp_path: Path, flag: str) -> None:
    """A host that cannot be one is said in one line too, with exit code 1."""
    code, _, errors = await run(
        "serve",
        *("--insecure=true", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", f"--{flag}=.:0"),
        DATABASE_URL=f"sqlite+aiosqlite:///{tmp_path}/none.db",
    )
    assert code == 1
    assert "tablestakes: cannot listen on .:0: " in errors
    assert "Traceback" not in errors
    assert len([line for line in errors.splitlines() if line.startswith("tablestakes: ")]) == 1


async def test_a_database_that_is_down_is_one_line() -> None:
    """A database that cannot be reached at the start is said in one line, without its password."""
    url = f"postgresql://me:secret-word@127.0.0.1:{free_port()}/nothing"
    for code, _, errors in await run_each(["serve"], ["migrate"], ["check"], DATABASE_URL=url):
        assert code == 1
        assert errors.startswith("tablestakes: unavailable: ")
        assert len(errors.splitlines()) == 1
        assert "secret-word" not in errors


async def test_an_old_schema_names_the_command(postgres_url: str) -> None:
    """On an unmigrated PostgreSQL `serve` and `check` name the command to run; after it both are content."""
    served, checked, migrated, after = await run_each(
        ["serve"], ["check"], ["migrate"], ["check"], DATABASE_URL=postgres_url
    )
    for code, _, errors in (served, checked):
        assert code == 1
        assert "run `tablestakes migrate`" in errors
    assert migrated[0] == 0
    assert after[0] == 0
    assert "the schema is current" in after[1]


async def test_migrating_twice_says_that_there_is_nothing_to_migrate(empty_url: str) -> None:
    """The first `migrate` says that it migrated and to which revision, the second that there is nothing to do."""
    events = []
    for code, _, errors in await run_each(*[["migrate", "--log-format=json"]] * 2, DATABASE_URL=empty_url):
        assert code == 0
        events.append(json.loads(errors.splitlines()[-1]))
    assert [event["event"] for event in events] == ["migrated", "nothing to migrate"]
    assert events[0]["revision"] == events[1]["revision"] != ""


async def test_it_is_started_by_its_script_and_by_its_folder() -> None:
    """`tablestakes` and `python -m server` are the same command."""
    code, output, errors = await run("--version")
    assert (code, errors) == (0, "")
    assert output == f"tablestakes {version('tablestakes')}\n"
    script = Path(sys.executable).parent / "tablestakes"
    assert await finished(str(script), "--version") == (code, output, errors)


def greet(given: dict[str, Any]) -> None:
    """Serve the command of the service below."""
    if given.get("who") == "nobody":
        raise CommandError("nobody is there")
    if given.get("loud") == "maybe":
        raise SettingsError("--loud: maybe is neither yes nor no")
    if given.get("who") == "slowly":
        raise KeyboardInterrupt
    print(sorted(given.items()))  # noqa: T201 - it is a command


# A service with a command of its own.
SHOP = replace(
    SERVICE,
    name="shop",
    commands=(
        Command(
            name="greet",
            meaning="greet somebody",
            run=greet,
            flags=["loud", "how_often"],
            arguments=["who"],
            takes="WHO [OPTIONS]",
            epilog="options:\n\n  --loud  whether to shout",
        ),
    ),
)

# A service with a table more and its migrations in a folder, in a process of its own: its commands have settings,
# and so set up the logging of the whole process.
OWN = """
import sys
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Column, Integer, Table

from marketplace_service import SERVICE

Table("extras", SERVICE.metadata, Column("id", Integer, primary_key=True))
migrations = Path(sys.argv.pop(1))
sys.exit(replace(SERVICE, name="shop", migrations=migrations).main())
"""


async def own(migrations: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run a command of a service with a table more, and its migrations in a folder."""
    return await finished(sys.executable, "-c", OWN, str(migrations), *arguments, **environment)


def test_a_service_has_commands_of_its_own() -> None:
    """A command of a service is given the flags and arguments that were given, by name, and nothing else."""
    code, output, errors = called("greet", "ann", "--loud=yes", service=SHOP)
    assert (code, output, errors) == (0, "[('loud', 'yes'), ('who', 'ann')]\n", "")
    code, output, _ = called("greet", "--how-often", "3", "ann", service=SHOP)
    assert (code, output) == (0, "[('how_often', '3'), ('who', 'ann')]\n")


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (("nobody",), 1, "shop: nobody is there"),
        (("ann", "--loud=maybe"), 2, "shop: --loud: maybe is neither yes nor no"),
        (("slowly",), 130, "shop: interrupted"),
    ],
)
def test_a_command_that_fails_is_one_line(arguments: tuple[str, ...], code: int, line: str) -> None:
    """A CommandError, a SettingsError and an interruption are each one line with the service's name, and a code."""
    assert called("greet", *arguments, service=SHOP) == (code, "", f"{line}\n")


def test_a_command_of_a_service_is_in_its_help() -> None:
    """The help names it with its meaning beside the engine's own; its own help has its usage and epilog."""
    code, output, _ = called("--help", service=SHOP)
    assert code == 0
    for name in ("serve", "migrate", "routes", "check", "migration", "greet"):
        assert re.search(rf"^    {name}\b", output, re.MULTILINE), name
    assert "greet somebody" in output
    code, output, _ = called("greet", "--help", service=SHOP)
    assert code == 0
    assert output.startswith("usage: shop greet WHO [OPTIONS]\n")
    assert "Greet somebody." in output
    assert output.endswith("options:\n\n  --loud  whether to shout\n")
    code, _, errors = called("greet", service=SHOP)
    assert code == 2
    assert "the following arguments are required: who" in errors


def read(output: str) -> tuple[Path, str]:
    """Return the file that is named in the last line of an output, and its text."""
    path = Path(output.splitlines()[-1])
    return path, path.read_text()


async def test_a_migration_is_written_from_the_difference_to_the_models(tmp_path: Path) -> None:
    """`migration MESSAGE` writes a file below the service's migrations that brings a database to the models."""
    folder = tmp_path / "alembic"
    shutil.copytree(SERVICE.migrations, folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = {path.name for path in (folder / "versions").iterdir()}
    committed = sorted(SERVICE.migrations.rglob("*.py"))
    code, output, errors = await own(folder, "migration", "add the extras")
    assert code == 0, errors
    written, text = read(output)
    assert written.parent == folder / "versions"
    assert {path.name for path in written.parent.iterdir() if path.suffix == ".py"} == before | {written.name}
    assert re.fullmatch(r"\d{8}_add_the_extras\.py", written.name)
    assert "op.create_table('extras'" in text or 'op.create_table(\n        "extras"' in text
    assert f"down_revision = {ScriptDirectory(str(SERVICE.migrations)).get_current_head()!r}" in text.replace(
        '"', "'"
    )
    assert sorted(SERVICE.migrations.rglob("*.py")) == committed, "the service's own folder stays as it was"

    url = f"sqlite+aiosqlite:///{tmp_path}/extras.db"
    code, _, errors = await own(folder, "migrate", DATABASE_URL=url)
    assert code == 0, errors
    with contextlib.closing(sqlite3.connect(tmp_path / "extras.db")) as connection:
        assert connection.execute("SELECT count(*) FROM extras").fetchone() == (0,)
    code, output, _ = await own(folder, "migration", "nothing more")
    assert code == 0
    assert read(output)[1].count("    pass\n") == 2, "there is no difference any more"


def test_a_migration_needs_a_message() -> None:
    """`migration` without a message is misuse, and writes nothing."""
    before = sorted(SERVICE.migrations.rglob("*.py"))
    code, _, errors = called("migration")
    assert code == 2
    assert "the following arguments are required: message" in errors
    assert sorted(SERVICE.migrations.rglob("*.py")) == before
