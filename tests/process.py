"""The command line in processes of its own, as an operator runs it."""

import asyncio
import contextlib
import io
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from unittest import mock

from marketplace_service import SERVICE
from tablestakes import Service
from tablestakes.command_line import main
from tablestakes.database import open_database
from tablestakes.settings import Settings

# Seconds after which a command or a server hangs. It is far longer than a start takes while other processes keep
# every core busy: a test that waits for less is slow there, and not wrong.
HANGS = 600

SERVING = re.compile(r'"grpc": "(?P<grpc>[^"]+)", "metrics": "(?P<metrics>[^"]+)"')


@dataclass
class Process:
    """A server in a process of its own, and where it listens."""

    process: asyncio.subprocess.Process
    address: str
    metrics: str
    lines: list[str]
    reading: asyncio.Future[Any]

    async def stopped(self) -> int:
        """Wait for its end, and return its exit code."""
        async with asyncio.timeout(HANGS):
            await self.reading
            return await self.process.wait()


async def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run a command of the service to its end, and return its exit code, output and errors."""
    return await finished(sys.executable, "-m", "server", *arguments, **environment)


def called(
    *arguments: str, service: Service = SERVICE, environment: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, str, str]:
    """Call a command of a service in this process, and return what `run` returns.

    It must end before it sets up logging, which is the whole process's. A process of its own takes a second to
    start, and these are many.
    """
    output, errors = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        try:
            code = main(service, arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, output.getvalue(), errors.getvalue()


async def run_each(*commands: Sequence[str], **environment: str) -> list[tuple[int, str, str]]:
    """Run commands one after the other in one process, and return for each what `run` returns.

    They may do anything but run until a signal. A process of its own for each would take a second to start.
    """
    code, output, errors = await finished(
        sys.executable, "-m", "tests.process", json.dumps(commands), **environment
    )
    assert (code, errors) == (0, "")
    return [(code, output, errors) for code, output, errors in json.loads(output)]


async def finished(*command: str, **environment: str) -> tuple[int, str, str]:
    """Run any program to its end, and return its exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(HANGS):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


@contextlib.asynccontextmanager
async def server(url: str, *arguments: str, **environment: str) -> AsyncIterator[Process]:
    """Run a server in a process of its own, and end it if the test does not."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "server",
        "serve",
        "--listen=127.0.0.1:0",
        "--metrics-listen=127.0.0.1:0",
        "--drain-delay=0",
        *arguments,
        env=os.environ | {"DATABASE_URL": url} | environment,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    lines: list[str] = []

    async def read(until: re.Pattern[str] | None = None) -> re.Match[str] | None:
        assert process.stderr is not None
        async for line in process.stderr:
            lines.append(line.decode())
            if until and (found := until.search(lines[-1])):
                return found
        return None

    reading = None
    try:
        async with asyncio.timeout(HANGS):
            found = await read(SERVING)
        assert found, f"it ended: {lines}"
        # Its output must be read, or it would wait for that once the pipe is full.
        reading = asyncio.ensure_future(read())
        yield Process(process, found["grpc"], found["metrics"], lines, reading)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def migrated(url: str) -> str:
    """Migrate a database as the command does, and return its URL."""
    database = open_database(Settings.load(database_url=url, pool_size=2), patient=True)
    try:
        await SERVICE.schema.upgrade(database)
    finally:
        await database.close()
    return url


if __name__ == "__main__":
    print(json.dumps([called(*command) for command in json.loads(sys.argv[1])]))  # noqa: T201 - for run_each
