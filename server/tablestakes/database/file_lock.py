"""A lock that one process at a time holds on a SQLite file."""

import fcntl
import os
from pathlib import Path

SERVES, MIGRATES = "serves", "migrates"


class DatabaseInUseError(OSError):
    """Another process serves or migrates the file.

    Attributes:
        briefly: Whether it is about to release it: it migrates, or has only just taken it.
    """

    def __init__(self, path: Path, owner: str) -> None:
        pid, _, purpose = owner.partition(" ")
        super().__init__(f"{path} is in use by another process (pid {pid or 'unknown'})")
        self.briefly = purpose != SERVES


class FileLock:
    """An exclusive lock on `<file>.lock`, beside the database's file.

    SQLite's own locks let many processes write, each in its turn: before 3.51.3 that can corrupt a file in WAL
    mode, and in any version two services hold each other up. The operating system releases this lock when its
    process ends, however it ends. The lock's file stays, for another process may have opened it already.

    Args:
        path: The database's file.
        purpose: For what the process has the database: `SERVES` or `MIGRATES`.
    """

    def __init__(self, path: Path, purpose: str = SERVES) -> None:
        self._path = path.with_name(f"{path.name}.lock")
        self._database = path
        self._purpose = purpose
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; nothing happens where it is held already.

        Raises:
            DatabaseInUseError: Another process has it.
            OSError: The lock's file belongs to somebody else.
        """
        if self._descriptor is not None or not self._database.parent.is_dir():
            return  # without a folder there is no database, which SQLite will say
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 40).decode(errors="replace").strip()
            os.close(descriptor)
            raise DatabaseInUseError(self._database, owner) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} {self._purpose}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock; nothing happens where it is not held."""
        if self._descriptor is not None:
            # The next owner has the lock a moment before it has written its name.
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None
