"""The plan of a slow statement, asked for where nobody waits for it."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from threading import Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection
from sqlalchemy.engine import Engine

from ..query import Query
from .failure import error_type

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_log = logging.getLogger("tablestakes.telemetry.slow")
_EXPLAINED = ("SELECT", "INSERT", "UPDATE", "DELETE")
_NAME = "tablestakes_explained"
_KEPT = 200
# Characters of a statement that is asked about.
_LONGEST = 20_000


class Explainer:
    """Asks the database how it executes statements that were slow, one at a time and not often.

    It asks with EXPLAIN and never with ANALYZE, so the statement is not executed; for the plan that serves any
    values, so it needs none and shows none; on an engine of its own and from a thread of its own, so that neither a
    request nor an event loop waits. A statement is asked about once, and again after a while.

    It speaks to PostgreSQL from version 12 on, where placeholders are `$1`, as with asyncpg, and to SQLite.

    Args:
        engine: An engine that nothing else uses, with a NullPool, since each question is asked in another thread
            and event loop. Give it short timeouts, also for locks: planning waits for them.
        every: Seconds between two questions, at least.
        again: Seconds after which a statement that is still slow is asked about again.

    Raises:
        ValueError: The database is none that it speaks to.
    """

    def __init__(self, engine: "Engine | AsyncEngine", *, every: float = 10.0, again: float = 3600.0) -> None:
        asks: dict[tuple[str, str], Callable[[Connection, str, int], Sequence[Any]]] = {
            ("postgresql", "numeric_dollar"): _ask_postgresql,
            ("sqlite", "qmark"): _ask_sqlite,
        }
        speaks = (engine.dialect.name, engine.dialect.paramstyle)
        if speaks not in asks:
            raise ValueError(f"{speaks[0]} with placeholders in the style {speaks[1]} cannot be asked for plans")
        self._ask = asks[speaks]
        self._engine = engine
        self._every = every
        self._again = again
        self._next = 0.0
        # By text: when it was asked about, and the plan if there was an answer.
        self._known: dict[str, tuple[float, str | None]] = {}
        self._lock = Lock()
        self._thread: Thread | None = None

    def plan(self, statement: str) -> str | None:
        """Return the plan of a statement, if it is known."""
        return self._known.get(statement, (0.0, None))[1]

    def explain(self, query: Query, statement: str, parameters: int) -> None:
        """Ask for the plan of a statement, unless it is known or something else was just asked; do not wait for it.

        Args:
            query: The statement.
            statement: Its text as it was sent.
            parameters: How many placeholders it has.
        """
        if query.operation.name.removeprefix("BATCH ") not in _EXPLAINED or len(statement) > _LONGEST:
            return
        now = monotonic()
        with self._lock:
            asked = self._known.get(statement)
            busy = self._thread is not None and self._thread.is_alive()
            if busy or now < self._next or (asked is not None and now < asked[0] + self._again):
                return
            if asked is None and len(self._known) >= _KEPT:
                del self._known[next(iter(self._known))]
            self._next = now + self._every
            self._known[statement] = (now, None if asked is None else asked[1])
            self._thread = Thread(
                target=self._explain, args=(query, statement, parameters), name="explain", daemon=True
            )
            self._thread.start()

    def close(self, seconds: float = 2.0) -> None:
        """Wait for the answer to a question that was asked, if there is one, for so many seconds."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _explain(self, query: Query, statement: str, parameters: int) -> None:
        fields = {
            "db_operation_name": query.operation.name,
            "db_collection_name": query.operation.collection,
            "db_query_text": statement,
        }
        try:
            plan = "\n".join(str(row[-1]) for row in self._rows(statement, parameters))
        except Exception as error:  # noqa: BLE001 - a database in trouble has slow statements and no plans
            # Not the error itself, which may quote the statement's literals; and it may be asked about again.
            _log.warning("slow query without a plan", extra={**fields, "error_type": error_type(_driver(error))})
            self._known.pop(statement, None)
            return
        self._known[statement] = (monotonic(), plan)
        if plan:  # SQLite has none for an INSERT
            _log.warning("slow query plan", extra={**fields, "plan": plan})

    def _rows(self, statement: str, parameters: int) -> Sequence[Any]:
        if isinstance(self._engine, Engine):
            with self._engine.connect() as connection:
                return self._ask(connection, statement, parameters)
        return asyncio.run(self._answer(self._engine, statement, parameters))

    async def _answer(self, engine: "AsyncEngine", statement: str, parameters: int) -> Sequence[Any]:
        async with engine.connect() as connection:
            return await connection.run_sync(self._ask, statement, parameters)


def _ask_postgresql(connection: Connection, statement: str, parameters: int) -> Sequence[Any]:
    # EXPLAIN (GENERIC_PLAN) came with version 16; a prepared statement has had such a plan since 12. Behind a proxy
    # that pools connections others get this one next: it is left as it was.
    with connection.begin():
        connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
        connection.exec_driver_sql(f"PREPARE {_NAME} AS {statement}")
        values = f"({', '.join(['NULL'] * parameters)})" if parameters else ""
        rows = connection.exec_driver_sql(f"EXPLAIN EXECUTE {_NAME}{values}").all()
        connection.exec_driver_sql(f"DEALLOCATE {_NAME}")
        return rows


def _ask_sqlite(connection: Connection, statement: str, parameters: int) -> Sequence[Any]:
    return connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", (None,) * parameters).all()


def _driver(error: BaseException) -> BaseException:
    return getattr(error, "orig", None) or error
