"""A real pgbouncer for the tests: started on a free port before a PostgreSQL, and stopped."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from tests.postgres import Postgres, free_port

# Debian puts it where only root looks.
PROGRAM = os.environ.get("PGBOUNCER") or shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
HANGS = 30


def version() -> tuple[int, int]:
    """Return the version of pgbouncer, (0, 0) without one."""
    if PROGRAM is None:
        return (0, 0)
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)\.(\d+)", said)
    assert found is not None
    return int(found[1]), int(found[2])


@contextlib.asynccontextmanager
async def pgbouncer(server: Postgres, database: str, **settings: str) -> AsyncIterator[str]:
    """Run a pgbouncer before a database, and yield the URL of the database through it."""
    assert PROGRAM is not None
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="tablestakes-pgbouncer-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # noqa: ASYNC240 - nothing else runs
        (folder / "users").write_text('"postgres" ""\n"bounded" ""\n')
        options = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": str(folder / "users"),
            **settings,
        }
        lines = "\n".join(f"{key} = {value}" for key, value in options.items())
        (folder / "ini").write_text(
            f"[databases]\n{database} = host=127.0.0.1 port={server.port} dbname={database}\n[pgbouncer]\n{lines}\n"
        )
        # It refuses to run as root.
        step_down = ("-u", "nobody") if os.geteuid() == 0 else ()
        with (folder / "log").open("w+") as log:
            process = await asyncio.create_subprocess_exec(
                PROGRAM, *step_down, str(folder / "ini"), stdout=log, stderr=log
            )
            try:
                async with asyncio.timeout(HANGS):
                    while not await _answers(port):  # nothing else tells that it listens
                        assert process.returncode is None, (folder / "log").read_text()
                        await asyncio.sleep(0.05)
                yield f"postgresql+asyncpg://postgres@127.0.0.1:{port}/{database}"
            finally:
                if process.returncode is None:
                    process.send_signal(signal.SIGINT if version() < (1, 23) else signal.SIGTERM)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(process.wait(), 2)
                if process.returncode is None:  # it waits for clients
                    process.kill()
                    await process.wait()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
