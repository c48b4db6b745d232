"""One effect for all calls with the same request id, and one answer to them (AIP-155)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from google.protobuf.message import Message
from grpc import StatusCode
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tablestakes.crud.clearing import UNTOLD
from tablestakes.crud.encode import encode
from tablestakes.crud.reply import Reply
from tablestakes.crud.request_id import RequestId
from tablestakes.database import Database, FaultKind, diagnose
from tablestakes.database.request_ids import Answered, claim, keep, sweep
from tablestakes.database.unit import current_unit
from tablestakes.errors import RETRY_DELAY, StatusError, invalid_field

# Seconds that a call waits for one with the same id that is under way in this process. For one of another process
# it waits in the database, for the `lock_timeout` of its connections.
PATIENCE = 2.5

DAY = 86_400.0

# How far clocks of callers and servers may be apart. Ids are kept for so much longer than callers are told.
CLOCK_SKEW = timedelta(hours=1)

# Ids to a statement of a sweep: few, for on SQLite every writer waits for it.
BATCH = 500


class Once:
    """Lets the work of one call with a request id be done, and gives its answer to all others.

    Args:
        retention: The seconds for which an id is known at the least.

    Attributes:
        what: What is swept, for the log.
        batch: How many ids a sweep deletes at most.
    """

    what = "request ids"
    batch = BATCH

    def __init__(self, retention: float = DAY) -> None:
        self._retention = timedelta(seconds=retention)
        self._running: dict[bytes, asyncio.Future[Answered | None]] = {}

    async def answer(self, given: RequestId, first: Callable[[], Awaitable[Reply]]) -> Reply:
        """Return the answer to a call; of several at once in this process the first does the work.

        Args:
            given: The call's request id.
            first: Does the work, by `apply`, and returns the answer.

        Raises:
            StatusError: ABORTED, another call with this id is under way and did not end in time;
                INVALID_ARGUMENT, another request had this id.
            Exception: Its own.
        """
        if (unit := current_unit.get()) is not None:
            unit.repeatable = True
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        while (running := self._running.get(given.key)) is not None:
            # Without a connection, which a few callers who repeat themselves could else all have.
            ended, _ = await asyncio.wait((running,), timeout=until - loop.time())
            if not ended:
                raise in_progress()
            if (answered := running.result()) is not None:
                return _replay(given, answered)
        running = self._running[given.key] = loop.create_future()
        answered = None
        try:
            reply = await first()
            answered = Answered(given.digest, reply.data)
        finally:
            del self._running[given.key]
            running.set_result(answered)
        return reply

    def apply(self, given: RequestId, connection: Connection, work: Callable[[Connection], Message]) -> Reply:
        """Do the work of a call, unless it was done before, and return the answer, which is kept with it.

        Where the work raises, nothing is kept, and the call may be made again.

        Args:
            given: The call's request id.
            connection: A connection, in a transaction.
            work: Does the work.

        Raises:
            StatusError: As `answer`; and FAILED_PRECONDITION, the id is so old that it may have been known once.
            Exception: The work's own.
        """
        now = datetime.now(UTC)
        try:
            answered = claim(connection, given.key, given.digest, now)
        except DBAPIError as error:
            if _is_lock_timeout(error):
                raise in_progress() from error
            raise
        if answered is not None:
            return _replay(given, answered)
        if given.first_sent is not None and now - given.first_sent >= self._retention:
            raise _expired(self._retention)
        if (unit := current_unit.get()) is not None:
            unit.claimed = True
        response = work(connection)
        UNTOLD.clear(response)
        data = encode(response)
        keep(connection, given.key, data)
        return Reply(data)

    async def sweep(self, database: Database) -> int:
        """Delete a batch of the ids kept for long enough, and return how many: at the end fewer than BATCH."""
        before = datetime.now(UTC) - self._retention - CLOCK_SKEW
        return await database.run(lambda connection: sweep(connection, before, BATCH))


def _replay(given: RequestId, answered: Answered) -> Reply:
    if answered.digest != given.digest:
        raise invalid_field("request_id", "was used for another request.", "REQUEST_ID_REUSED")
    return Reply(answered.response, replayed=True)


def _is_lock_timeout(error: DBAPIError) -> bool:
    fault = diagnose(error)
    return fault is not None and fault.kind is FaultKind.CONFLICT and fault.code == "55P03"


def in_progress() -> StatusError:
    """Return ABORTED for a call with the id of another one that is under way."""
    return StatusError(
        StatusCode.ABORTED,
        "REQUEST_IN_PROGRESS",
        "An earlier call with the same request_id is still under way.",
        metadata={"outcome": "unknown"},
        retry_delay=RETRY_DELAY,
    )


def _expired(retention: timedelta) -> StatusError:
    seconds = f"{retention.total_seconds():.0f}"
    return StatusError(
        StatusCode.FAILED_PRECONDITION,
        "REQUEST_ID_EXPIRED",
        f"The request was first sent more than {seconds} seconds ago; whether it took effect then is not known any"
        " more.",
        metadata={"outcome": "unknown", "retention": seconds},
    )
