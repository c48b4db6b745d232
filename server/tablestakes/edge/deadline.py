"""Every RPC ends by its deadline, also one whose caller set none."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from google.protobuf.message import Message

from tablestakes.crud import Serve
from tablestakes.database import Database
from tablestakes.edge.handler import Context
from tablestakes.edge.work import Work, deadline_exceeded

# Seconds, and the share of a short deadline, that are kept for the answer to travel back in.
RESERVE, RESERVED_SHARE = 0.02, 0.1


def within_deadline(
    serve: Serve, database: Database, work: Work, default: float
) -> Callable[[Any, Context], Awaitable[Message]]:
    """Return what serves an RPC within its caller's deadline.

    Args:
        serve: What serves the RPC.
        database: The database that it works on.
        work: Where its work is kept until it ends.
        default: Seconds for callers that set no deadline.
    """

    async def bounded(request: Any, context: Context) -> Message:
        remaining = seconds_left(context)
        seconds = default if remaining is None else remaining - min(RESERVE, remaining * RESERVED_SHARE)
        if seconds <= 0:
            raise deadline_exceeded()
        return await work.run(serve(database, request), seconds)  # type: ignore[arg-type]

    return bounded


def seconds_left(context: Context) -> float | None:
    """Return the seconds until the caller's deadline, negative once it has passed, or None where there is none."""
    return cast(float | None, context.time_remaining())
