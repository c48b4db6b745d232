"""Work that waits for its turn on the write connection, and then for the COMMIT."""

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from time import perf_counter
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tablestakes.database.unit import current_unit
from tablestakes.telemetry import current_rpc
from tablestakes.telemetry.account import COMMIT, POOL_WAIT

T = TypeVar("T")


class WaitingWrite(Generic[T]):
    """One write of a group commit.

    Its wait is reported as that of a checkout, from the call until its turn. The account of its RPC has the time
    from its last statement to the end of the COMMIT as that of the COMMIT.

    Args:
        work: A plain function of a connection.
        savepoint: Whether its statements are undone together.
        keep: Whether they take effect at all.

    Attributes:
        outcome: The result or the error, once the COMMIT has returned.
        context: The context of its caller: its statements are counted for that RPC, and traced in its span.
        alone: Whether no other write may be in its transaction.
    """

    def __init__(self, work: Callable[[Connection], T], *, savepoint: bool, keep: bool) -> None:
        self.outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.context: Context = copy_context()
        self.alone = False
        self._work = work
        self._savepoint = savepoint
        self._keep = keep
        self._result: T
        self._error: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waits: Any = None
        self._since = 0.0
        self._account = current_rpc.get()

    def expire_at(self, when: float) -> None:
        """Let it fail with sqlalchemy.exc.TimeoutError if it has not begun by a time of the event loop's clock."""
        self._timer = asyncio.get_running_loop().call_at(when, self._expire, context=self.context)

    def _expire(self) -> None:
        if not self.outcome.done():
            error = PoolTimeoutError("the write was not begun by its deadline")
            waits = self._waits
            self._wait_ended("timeout", error)
            if waits is not None:
                waits.timed_out(error)
            self.outcome.set_exception(error)

    def report_wait(self, pool: Any) -> None:
        """Report the wait to the instrumentation of a pool, which reports its own checkouts' waits alike."""
        self._waits = getattr(pool.queue, "waits", None)
        if self._waits is not None:
            self._since = perf_counter()
            self._waits.wait_started(self, self._since)

    def forget_wait(self) -> None:
        """Report no wait: it is about to check the connection out itself."""
        if self._waits is not None:
            self._waits.pending.discard(self)
            self._waits = None
            if self._account is not None:
                self._account.end(POOL_WAIT, perf_counter())

    def _wait_ended(self, outcome: str, error: BaseException | None = None) -> None:
        waits, self._waits = self._waits, None
        if waits is not None:
            waits.wait_ended(self, self._since, outcome, error)

    def abandon(self) -> None:
        """Its caller was cancelled: if it has not begun it never will."""
        self._cancel_timer()
        self._wait_ended("cancelled", asyncio.CancelledError())

    def run(self, connection: Connection) -> None:
        """Do the work, in a transaction, and keep its result or its error until `finish`.

        Raises:
            Exception: The work's error, where the database undid the whole transaction for it.
        """
        self._cancel_timer()
        try:
            self._result = self.context.run(self._run, connection)
        except Exception as error:
            if not in_transaction(connection):
                raise  # as a full disk does
            self._error = error
        if self._account is not None:
            self._account.begin(COMMIT, perf_counter())

    def _run(self, connection: Connection) -> T:
        self._wait_ended("ok")
        if (unit := current_unit.get()) is not None:
            unit.begin()
            unit.may_apply = True
        if not self._savepoint:
            # A statement that fails undoes itself, and the others stand, each by itself.
            return self._work(connection)
        # By a name that never changes, where SQLAlchemy would count: the same statements are prepared only once.
        connection.exec_driver_sql("SAVEPOINT work")
        keep = False
        try:
            result = self._work(connection)
            keep = self._keep
        finally:
            if in_transaction(connection):
                if not keep:
                    connection.exec_driver_sql("ROLLBACK TO work")
                connection.exec_driver_sql("RELEASE work")
        return result

    def run_again_alone(self) -> None:
        """Forget the result, for the COMMIT was refused: it is to run in a transaction of its own."""
        self.alone, self._error = True, None
        self._settle()

    def finish(self) -> None:
        """Give the caller its result or its error: the COMMIT has returned."""
        if self._error is not None:
            self.fail(self._error)
            return
        self._settle()
        if not self.outcome.done():
            self.outcome.set_result(self._result)

    def fail(self, error: BaseException) -> None:
        """Give the caller an error."""
        self._settle()
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def _settle(self) -> None:
        self._cancel_timer()
        if self._account is not None:
            self._account.end(COMMIT, perf_counter())

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def in_transaction(connection: Connection) -> bool:
    """Return whether SQLite has a transaction open on a connection, whatever SQLAlchemy knows of it."""
    driver: Any = connection.connection.driver_connection
    return bool(driver is not None and driver.in_transaction)
