"""`make serve-http`: the service and Envoy together, as one command."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.http.door import Door
from tests.process import HANGS

# Each starts a service and Envoy in processes of their own, which `make test` has other tests of.
pytestmark = pytest.mark.long


async def test_one_command_serves_and_stops(tmp_path: Path) -> None:
    """The command serves JSON once it says so, and an interrupt drains the service and ends both with 0."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "k8s.envoy.serve", "--http", "127.0.0.1:0"),
        *("--listen=127.0.0.1:18551", "--metrics-listen=127.0.0.1:18564"),
        env=os.environ | {"DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/served.db"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(HANGS):
            while not (line := (await process.stdout.readline()).decode()).startswith("JSON and gRPC-Web"):
                assert line, "it has ended"
            door = Door(line.split("http://")[1].split(",")[0], "")
            answer = await door.send("POST", "/v1/users", {"email": "a@example.com", "username": "ann"})
            assert answer.json["name"] == "users/1"
            process.send_signal(signal.SIGINT)
            rest = (await process.stdout.read()).decode()
            assert await process.wait() == 0
        assert [json.loads(each)["path"] for each in rest.splitlines() if '"status":200' in each][-1] is not None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_bad_flags_are_refused() -> None:
    """An address that is none, and two processes on SQLite, end the command with 2 and a line that says why."""
    for flags, words in (
        (("--http", "nowhere"), "not host:port"),
        (("--processes", "2"), "--processes: on SQLite one process"),
        (("--processes", "0"), "--processes must be at least 1"),
    ):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "k8s.envoy.serve", *flags),
            env={key: each for key, each in os.environ.items() if key != "DATABASE_URL"},
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await asyncio.wait_for(process.communicate(), HANGS)
        assert process.returncode == 2, errors
        assert words in errors.decode()
