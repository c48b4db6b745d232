"""Prometheus and promtool, which are on no Python index: found, and run for a while."""

import asyncio
import http.client
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from tests.postgres import free_port

MONITORING = Path(__file__).resolve().parents[2] / "k8s" / "monitoring"
RULES = tuple(sorted((MONITORING / "rules").glob("*.yaml")))
# Where `make install` unpacks them, if they are not installed.
UNPACKED = Path(sys.prefix) / "prometheus" / "usr" / "bin"


def program(name: str) -> str:
    """Return the path of `prometheus` or `promtool`, or skip the test where there is none."""
    found = shutil.which(name) or shutil.which(name, path=str(UNPACKED))
    if found is None:
        pytest.skip(f"{name} is not on the PATH, and `make install` could not unpack it from Debian's package")
    return found


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool to its end, and return its exit code with what it printed."""
    command = [program("promtool"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


class Prometheus:
    """A Prometheus that runs.

    Args:
        port: Its TCP port on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    async def ready(self) -> bool:
        """Return whether it answers yet."""
        try:
            status, _ = await asyncio.to_thread(self._get, "/-/ready")
        except ConnectionError:
            return False
        return status == http.HTTPStatus.OK

    async def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the answer to a query now: series, each with `metric` and `value`.

        Raises:
            AssertionError: It refused the query; its answer is in the message.
        """
        status, body = await asyncio.to_thread(self._get, f"/api/v1/query?{urlencode({'query': query})}")
        assert status == http.HTTPStatus.OK, f"{query}: {body}"
        result: list[dict[str, Any]] = json.loads(body)["data"]["result"]
        return result

    async def answers(self, query: str) -> None:
        """Wait until a query has an answer that is not empty.

        Raises:
            TimeoutError: It had none for a minute.
        """
        async with asyncio.timeout(60):
            while not await self.ask(query):  # noqa: ASYNC110 - a server elsewhere sets no event
                await asyncio.sleep(0.1)

    def _get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


@asynccontextmanager
async def prometheus(folder: Path, targets: Mapping[str, str]) -> AsyncIterator[Prometheus]:
    """Run a Prometheus with the project's rules, which scrapes and evaluates each second.

    Args:
        folder: Where its data, its configuration and its log go.
        targets: The targets that it scrapes: `host:port` by job.
    """
    port = free_port()
    configuration = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(MONITORING / "rules" / "*.yaml")],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
        ],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    with (folder / "log").open("w+") as log:
        process = await asyncio.create_subprocess_exec(
            program("prometheus"),
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
        )
        server = Prometheus(port)
        try:
            async with asyncio.timeout(60):
                while not await server.ready():
                    assert process.returncode is None, (folder / "log").read_text()
                    await asyncio.sleep(0.05)
            yield server
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
