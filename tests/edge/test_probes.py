"""The service's HTTP probes, the token of its metrics, and the line that says where it serves."""

import asyncio
import json
import time
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

from marketplace_service import SERVICE
from tablestakes import app as application
from tablestakes.app import start
from tests.process import run, server

LOCAL = {"listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0", "database_url": "sqlite+aiosqlite:///:memory:"}


def get(address: str, path: str, **headers: str) -> tuple[int, bytes]:
    """Return the status and the body of a response of the metrics port."""
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://{address}{path}", headers=headers)) as response:
            return response.status, response.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


async def test_readiness_follows_the_health_of_grpc() -> None:
    """/readyz is 200 while calls are to be sent, and 503 once the drain begins; /healthz is 200 in both."""
    service = await start(SERVICE, SERVICE.settings.load(**LOCAL, drain_delay=0.5))
    ready = [await asyncio.to_thread(get, service.metrics_address, path) for path in ("/readyz", "/healthz")]
    draining = asyncio.ensure_future(service.drain())
    await asyncio.sleep(0)
    gone = [await asyncio.to_thread(get, service.metrics_address, path) for path in ("/readyz", "/healthz")]
    await draining
    assert ready == [(200, b"ok\n"), (200, b"ok\n")]
    assert gone == [(503, b"draining\n"), (200, b"ok\n")]


async def test_a_blocked_event_loop_is_not_healthy() -> None:
    """/healthz answers while the event loop is blocked, and says so once it counts as dead."""
    service = await start(SERVICE, SERVICE.settings.load(**LOCAL))
    await asyncio.sleep(0.1)
    before, application.DEAD_SECONDS = application.DEAD_SECONDS, 0.5
    try:
        time.sleep(1)  # noqa: ASYNC251 - this blocks the event loop
        status, body = get(service.metrics_address, "/healthz")  # and so does this
    finally:
        application.DEAD_SECONDS = before
    await service.drain()
    assert status == 503
    assert body.startswith(b"the event loop has been blocked for 1 seconds")


async def test_a_token_by_the_settings(tmp_path: Path) -> None:
    """With the setting, /metrics needs the token and probes do not; the line at start says where everything is."""
    token = "a-token-of-the-tests"
    async with server(f"sqlite+aiosqlite:///{tmp_path}/t.db", TABLESTAKES_METRICS_TOKEN=token) as running:
        address = running.metrics.removeprefix("http://").removesuffix("/metrics")
        statuses = [
            (await asyncio.to_thread(get, address, path, **headers))[0]
            for path, headers in (
                ("/metrics", {}),
                ("/metrics", {"Authorization": f"Bearer {token}"}),
                ("/metrics", {"Authorization": f"Bearer {token}", "Host": "evil.example"}),
                ("/readyz", {}),
            )
        ]
    assert statuses == [401, 200, 421, 200]
    assert token not in "".join(running.lines)
    [line] = [found for found in map(json.loads, running.lines) if found["event"] == "serving"]
    assert line["page"] == f"http://{address}/"
    assert line["list_methods"] == f"grpcurl -plaintext {running.address} list"
    assert line["service"].startswith("tablestakes ")
    assert line["methods"] >= 45


async def test_a_bad_certificate_is_one_line(tmp_path: Path) -> None:
    """A certificate that cannot be read is one line that names the setting, and exit code 2."""
    code, _, errors = await run(
        "serve",
        *("--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", f"--metrics-tls-certificate={tmp_path}/none.pem"),
        DATABASE_URL=f"sqlite+aiosqlite:///{tmp_path}/c.db",
    )
    assert code == 2
    assert errors.splitlines()[-1] == (
        "tablestakes: --metrics-tls-certificate (TABLESTAKES_METRICS_TLS_CERTIFICATE): No such file or directory"
    )
