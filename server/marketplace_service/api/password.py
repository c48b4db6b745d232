"""Passwords: kept as argon2id hashes (RFC 9106), and made without holding up the event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher, Type

# What OWASP asks for at the least. Each hash takes this much memory, so how many run at once is bounded by the
# threads: the next ones wait, and a burst of sign-ups costs time and not memory.
MEMORY_KIB, PASSES, LANES, THREADS = 19 * 1024, 2, 1, 2

_HASHER = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID)
_EXECUTOR = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")


async def hash_password(password: str) -> str:
    """Return the hash of a password, with its own salt and parameters in it.

    Args:
        password: As the user typed it, at most a kibibyte: the proto bounds it.
    """
    return await asyncio.get_running_loop().run_in_executor(_EXECUTOR, _HASHER.hash, password)
