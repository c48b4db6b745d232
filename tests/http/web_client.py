"""A gRPC-Web client under Node.js, which calls what it is told to."""

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from k8s.envoy.local import DESCRIPTORS

INSTALLED = Path(sys.prefix) / "web"
CLIENT = Path(__file__).with_name("web") / "client.cjs"
MISSING = "the gRPC-Web client is not installed: it needs Node.js with npm, and then `make install`"
HANGS = 60


@dataclass(frozen=True)
class WebClient:
    """A client that waits for calls."""

    process: asyncio.subprocess.Process

    async def call(self, rpc: str, request: Any) -> Any:
        """Call a method, and return `{"answer": …}` or `{"code": …, "message": …, "details": …}`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"rpc": rpc, "request": request}).encode() + b"\n")
        async with asyncio.timeout(HANGS):
            line = await self.process.stdout.readline()
        assert line, "the client has ended"
        return json.loads(line)


@contextlib.asynccontextmanager
async def web_client(address: str) -> AsyncIterator[WebClient]:
    """Run the client, or skip the test where it is not installed."""
    node = shutil.which("node")
    if node is None or not (INSTALLED / "node_modules").is_dir():
        pytest.skip(MISSING)
    process = await asyncio.create_subprocess_exec(
        *(node, CLIENT, INSTALLED, DESCRIPTORS, f"http://{address}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
        env=os.environ | {"NODE_NO_WARNINGS": "1"},
    )
    try:
        yield WebClient(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
