"""Passwords: kept as argon2id hashes (RFC 9106), and made without holding up the event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher, Type
from grpc import StatusCode

from tablestakes import StatusError

# The least that OWASP asks for. Each hash takes this much memory, so how many run at once is bounded by the
# threads: the next ones wait, and a burst of sign-ups costs time and not memory.
MEMORY_KIB, PASSES, LANES, THREADS = 19 * 1024, 2, 1, 2

_HASHER = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID)
_EXECUTOR = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")


# How many may wait for a thread: about a second's worth. The next caller is turned away at once, and told so.
MAX_WAITING = 64

_waiting = 0


async def hash_password(password: str) -> str:
    """Return the hash of a password, with its own salt and parameters in it.

    A caller who leaves while the password waits for a thread takes it out of the queue.

    Args:
        password: As the user typed it, at most a kibibyte: the proto bounds it.

    Raises:
        StatusError: UNAVAILABLE, too many passwords are waiting already.
    """
    global _waiting  # noqa: PLW0603 - the executor is the process's, and so is its queue
    if _waiting >= MAX_WAITING:
        raise StatusError(
            StatusCode.UNAVAILABLE, "PASSWORDS_BUSY", "Too many passwords are being hashed.", retry_delay=1.0
        )
    _waiting += 1
    try:
        return await _hash(password)
    finally:
        _waiting -= 1


async def _hash(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(_EXECUTOR, _HASHER.hash, password)
