"""A lock that one process at a time holds on a SQLite file."""

import fcntl
import os
from pathlib import Path


class DatabaseInUseError(OSError):
    """Another process serves or migrates the file."""


class FileLock:
    """An exclusive lock on `<file>.lock`, beside the database's file.

    SQLite's own locks let many processes write, each in its turn: before 3.51.3 that can corrupt a file in WAL
    mode, and in any version two services hold each other up. The operating system releases this lock when its
    process ends, however it ends. The lock's file stays, for another process may have opened it already.

    Args:
        path: The database's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}.lock")
        self._database = path
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
            owner = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise DatabaseInUseError(f"{self._database} is in use by another process (pid {owner})") from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock; nothing happens where it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
