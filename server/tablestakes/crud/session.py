"""The session of one RPC: a connection, the caller, and one instant."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from tablestakes.crud.call import ANONYMOUS, Caller
from tablestakes.crud.security.row_security import elevated
from tablestakes.crud.written import OnWrite, Written


class Session:
    """A connection for the work of one RPC, and one instant for all that it writes.

    Args:
        connection: The connection, in a transaction where the work is atomic.
        caller: Who calls.

    Attributes:
        connection: The connection.
        caller: Who calls.
    """

    __slots__ = ("_now", "caller", "connection")

    def __init__(self, connection: Connection, caller: Caller = ANONYMOUS) -> None:
        self.connection = connection
        self.caller = caller
        self._now: datetime | None = None

    def wrote(self, listeners: Sequence[OnWrite], written: Written) -> None:
        """Tell of a write: every write of a resource by the engine passes here.

        Args:
            listeners: Who is told.
            written: The write.
        """
        for listener in listeners:
            listener(self, written)

    @staticmethod
    def elevated() -> AbstractContextManager[None]:
        """Return a context in which statements use every row, whoever calls (as SECURITY DEFINER of PostgreSQL).

        It is for what a function does in the service's own right, once it has found that its caller may call it:
        paying into another user's wallet.
        """
        return elevated()

    @property
    def now(self) -> datetime:
        """The service's time in UTC, to the microsecond: the same each time it is asked for."""
        if self._now is None:
            self._now = datetime.now(UTC)
        return self._now

    @property
    def created(self) -> dict[str, Any]:
        """The values of the columns of `Audited` for a row that a statement of a function inserts."""
        return {**self.changed, "create_time": self.now, "created_by": self.caller.subject}

    @property
    def changed(self) -> dict[str, Any]:
        """The values of those columns of `Audited` that change with a row, for a statement of a function."""
        return {"update_time": self.now, "updated_by": self.caller.subject}
