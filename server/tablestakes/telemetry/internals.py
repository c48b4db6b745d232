"""Every private or undocumented name of other libraries that this package uses.

No other module of the package uses such a name. A library may rename or change one in any release, without notice:
`tests/telemetry/test_internals.py` has a test for each name, which then fails and says what relied on it.

The names are those of SQLAlchemy 2.1, prometheus-client 0.25 and asyncpg 0.32.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any, ClassVar, Final

from prometheus_client.utils import floatToGoString
from prometheus_client.validation import _is_valid_legacy_labelname
from sqlalchemy import exc
from sqlalchemy.engine import Engine
from sqlalchemy.pool import ConnectionPoolEntry, Pool, QueuePool

# A QueuePool keeps its connections in such a queue, and a checkout waits in its `get()`. The module is not
# documented, but no event of SQLAlchemy reports the wait.
from sqlalchemy.util.queue import AsyncAdaptedQueue, Empty, Queue, QueueCommon

__all__ = [
    "CONNECTION_HAS_EVENTS",
    "IS_SERVER_SIDE",
    "AsyncAdaptedQueue",
    "Empty",
    "HookedQueuePool",
    "Queue",
    "QueueCommon",
    "connection_events_unchanged",
    "format_float",
    "is_invalidated_with_its_pool",
    "is_unquoted_label_name",
    "listeners_getter",
    "max_overflow",
    "root_engine",
    "says_connection_is_lost",
]

format_float: Final[Callable[[float], str]] = floatToGoString
"""Writes a number as the library writes it in a scrape: 1.0, 1e+06, +Inf.

Prometheus takes buckets with the same bound (`le`) in different spellings for different series, and no documented
function spells them.
"""

is_unquoted_label_name: Final[Callable[[str], bool]] = _is_valid_legacy_labelname
"""Returns whether the library writes a label name without quotes. The public checks accept any UTF-8 name."""

# Two names are looked up for each statement, where calling a function would cost more than the lookup: the
# listeners use these constants with vars() and getattr().

CONNECTION_HAS_EVENTS: Final = "_has_events"
"""The key in `vars(connection)` that is False on a Connection with listeners shut out.

SQLAlchemy opens such a Connection to ask a new server for its version and settings (`dialect.initialize`). Every
other Connection has no such key, or True. No public attribute tells them apart.
"""

IS_SERVER_SIDE: Final = "_is_server_side"
"""The attribute of an execution context that is True if it made a server-side cursor.

Its rows are then fetched later, in calls of their own. The public option `stream_results` is not enough: a dialect
may have no server-side cursors, or use one by itself.
"""


@contextmanager
def connection_events_unchanged(engine: Engine) -> Iterator[None]:
    """Add listeners to an engine inside this block without switching its Connection events on.

    `Engine._has_events` tells each Connection whether to prepare for all Connection events, which costs 4 µs for
    each statement and 5 µs for each checkout, even if the listeners do nothing. `event.listen` sets the flag for
    any Connection event, also for `engine_disposed`, which works without the flag. No public function listens to
    one event alone.

    Args:
        engine: The engine. Its flag is put back to what it was.
    """
    before = engine._has_events
    try:
        yield
    finally:
        engine._has_events = before


def root_engine(engine: Engine) -> Engine:
    """Return the engine from which an engine was derived by `execution_options()`, or the engine itself.

    `OptionEngine._proxied` is the engine that it was derived from. A derived engine calls the listeners of its
    parent, but the parent does not call those of a derived engine, so listeners belong on the root. No public
    attribute leads from a derived engine to its parent.
    """
    while isinstance(parent := getattr(engine, "_proxied", None), Engine):
        engine = parent
    return engine


def listeners_getter(event: str) -> Callable[[Any], Sequence[Callable[..., object]]]:
    """Return a function that takes `dialect.dispatch` and returns the listeners of an event, in their order.

    `dispatch.<event>.listeners` is what `event.listen` appends to; listeners of the dialect's class are not in it.
    The public API adds, removes and finds listeners, but does not list them. The function is an attrgetter, so
    calling it is no Python call.

    Args:
        event: The name of the event, such as `do_execute`.
    """
    return attrgetter(f"{event}.listeners")


# By the class of asyncpg's exception: what its message contains if the connection is gone.
_SAYS_LOST: Final = {
    "ConnectionDoesNotExistError": ("",),
    "InterfaceError": ("connection is closed",),
    "InternalClientError": ("cannot switch to", "unexpected state", "not connected"),
}


def says_connection_is_lost(error: BaseException) -> bool:
    """Return whether an exception is one of those with which asyncpg reports that a connection is gone.

    Which one it is depends on the moment. ConnectionDoesNotExistError, with the SQLSTATE 08003 although no server
    sent it, says that the connection ended during a statement. InterfaceError says that it had ended before. A
    server that stops says goodbye to an idle connection first; asyncpg has no state for that, so a statement
    between the goodbye and the end is an InternalClientError, which SQLAlchemy passes on as it is.

    The classes are public, but no attribute distinguishes a lost connection from other errors of the last two: only
    their messages do, which are no interface. SQLAlchemy recognizes a lost connection in the same way.

    Args:
        error: The driver's exception, or SQLAlchemy's adaptation of it, which has it as its cause.
    """
    for raised in (error, error.__cause__):
        kind = type(raised)
        if kind.__module__.startswith("asyncpg.") and any(
            words in str(raised) for words in _SAYS_LOST.get(kind.__name__, ())
        ):
            return True
    return False


def max_overflow(pool: QueuePool) -> int | None:
    """Return how many connections a pool may have beyond its size: -1 without a limit, None if it does not say.

    `QueuePool._max_overflow` is that limit. The public `overflow()` is the current overflow, and is negative until
    the pool has reached its size.
    """
    limit: int | None = getattr(pool, "_max_overflow", None)
    return limit


def is_invalidated_with_its_pool(pool: Pool | None, record: ConnectionPoolEntry) -> bool:
    """Return whether a record's connection is older than the last invalidation of its whole pool.

    `Pool._invalidate_time` and `starttime` of a record are seconds since 1970; SQLAlchemy replaces the connection
    at its next checkout if the first is later than the second. The event `invalidate` is for single connections,
    and no event reports that a pool was invalidated.
    """
    return bool(getattr(pool, "_invalidate_time", 0) > getattr(record, "starttime", 0))


class HookedQueuePool(QueuePool):
    """A QueuePool with methods that are called where SQLAlchemy has no event.

    A subclass overrides `on_create` and `on_timeout`, and names the class of its queue::

        class TimedQueuePool(HookedQueuePool, queue_class=TimedQueue, logs_as=QueuePool): ...

    It relies on these private names:

    - `_queue_class` is the class of the queue, and `_pool` the queue.
    - `_do_get` is called for each checkout, and again by itself when another thread was faster. A TimeoutError that
      it raises is not passed to `handle_error`.
    - `_create_connection` is called where a checkout found the queue empty and the pool may have one more
      connection. The public events `do_connect` and `connect` are also reported when an old record connects again.
    - `_sqla_logger_namespace` names the logger of a class of pools.

    Args:
        queue_class: What the pool keeps its connections in.
        logs_as: The pool of SQLAlchemy under whose logger this one logs. Without it, the logger would have the name
            of this package.
    """

    _sqla_logger_namespace: ClassVar[str]  # SQLAlchemy's own pools do not declare it

    def __init_subclass__(
        cls,
        *,
        queue_class: type[QueueCommon[ConnectionPoolEntry]] | None = None,
        logs_as: type[QueuePool] | None = None,
        **others: Any,
    ) -> None:
        super().__init_subclass__(**others)
        if queue_class is not None:
            cls._queue_class = queue_class
        if logs_as is not None:
            cls._sqla_logger_namespace = f"{logs_as.__module__}.{logs_as.__name__}"

    @property
    def queue(self) -> QueueCommon[ConnectionPoolEntry]:
        """The queue that this pool keeps its idle connections in."""
        return self._pool

    def on_create(self) -> None:
        """Do something before a checkout that found the queue empty makes a connection."""

    def on_timeout(self, error: exc.TimeoutError) -> None:
        """Do something when a checkout got no connection in time. It may be called twice for one error."""

    def _do_get(self) -> ConnectionPoolEntry:
        try:
            return super()._do_get()
        except exc.TimeoutError as error:
            self.on_timeout(error)
            raise

    def _create_connection(self) -> ConnectionPoolEntry:
        self.on_create()
        return super()._create_connection()
