"""The command line in processes of its own, as an operator runs it."""

import asyncio
import contextlib
import io
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

from marketplace_service import SERVICE
from tablestakes.command_line import main

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


def misused(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Call a command of the service that must end before it does anything, and return what `run` returns.

    A process of its own takes a second to start, and these are many.
    """
    output, errors = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        try:
            code = main(SERVICE, arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, output.getvalue(), errors.getvalue()


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
    """Migrate a database by the command, and return its URL."""
    code, _, errors = await run("migrate", DATABASE_URL=url)
    assert code == 0, errors
    return url
