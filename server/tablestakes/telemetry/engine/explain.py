"""Getting the plan of a slow statement in the background."""

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
_MAX_PLANS = 200
# Longer statements, in characters, are not explained.
_MAX_LENGTH = 20_000


class Explainer:
    """Runs EXPLAIN for statements that were slow, one at a time and at intervals.

    It never uses ANALYZE, so the statement is not executed. It gets the generic plan, which is the one for any
    values, so it neither needs nor shows values. It uses an engine and a thread of its own, so neither a request
    nor an event loop waits. Each statement is explained once, and again after some time.

    It supports PostgreSQL from version 12 with placeholders like `$1`, as asyncpg has them, and SQLite.

    Args:
        engine: An engine that nothing else uses, with a NullPool, because each EXPLAIN runs in a new thread and
            event loop. Give it short timeouts, also for locks: planning waits for locks.
        every: Minimum number of seconds between two EXPLAINs.
        again: Seconds after which a statement that is still slow is explained again.

    Raises:
        ValueError: The database or its driver is not supported.
    """

    def __init__(self, engine: "Engine | AsyncEngine", *, every: float = 10.0, again: float = 3600.0) -> None:
        supported: dict[tuple[str, str], Callable[[Connection, str, int], Sequence[Any]]] = {
            ("postgresql", "numeric_dollar"): _explain_postgresql,
            ("sqlite", "qmark"): _explain_sqlite,
        }
        key = (engine.dialect.name, engine.dialect.paramstyle)
        if key not in supported:
            raise ValueError(f"{key[0]} with placeholders in the style {key[1]} cannot be asked for plans")
        self._explain_on = supported[key]
        self._engine = engine
        self._every = every
        self._again = again
        self._not_before = 0.0
        # By statement: when EXPLAIN was last started or answered, and the plan, if there is one.
        self._plans: dict[str, tuple[float, str | None]] = {}
        self._lock = Lock()
        self._thread: Thread | None = None

    def plan(self, statement: str) -> str | None:
        """Return the plan of a statement, None if it is not known."""
        return self._plans.get(statement, (0.0, None))[1]

    def explain(self, query: Query, statement: str, parameters: int) -> None:
        """Start an EXPLAIN and do not wait for it, unless the plan is known or the last EXPLAIN was too recent.

        Args:
            query: The statement.
            statement: Its SQL as it was sent.
            parameters: The number of its placeholders.
        """
        if query.operation.name.removeprefix("BATCH ") not in _EXPLAINED or len(statement) > _MAX_LENGTH:
            return
        now = monotonic()
        with self._lock:
            previous = self._plans.get(statement)
            busy = self._thread is not None and self._thread.is_alive()
            if busy or now < self._not_before or (previous is not None and now < previous[0] + self._again):
                return
            if previous is None and len(self._plans) >= _MAX_PLANS:
                del self._plans[next(iter(self._plans))]
            self._not_before = now + self._every
            self._plans[statement] = (now, None if previous is None else previous[1])
            self._thread = Thread(
                target=self._run, args=(query, statement, parameters), name="explain", daemon=True
            )
            self._thread.start()

    def close(self, seconds: float = 2.0) -> None:
        """Wait up to this many seconds for an EXPLAIN that is running."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self, query: Query, statement: str, parameters: int) -> None:
        fields = {
            "db_operation_name": query.operation.name,
            "db_collection_name": query.operation.collection,
            "db_query_text": statement,
        }
        try:
            plan = "\n".join(str(row[-1]) for row in self._rows(statement, parameters))
        except Exception as error:  # noqa: BLE001 - a database in trouble has slow statements and no plans
            # The error itself is not logged: it may quote literals of the statement. A later EXPLAIN is possible.
            _log.warning(
                "slow query without a plan", extra={**fields, "error_type": error_type(_driver_error(error))}
            )
            self._plans.pop(statement, None)
            return
        self._plans[statement] = (monotonic(), plan)
        if plan:  # SQLite has no plan for an INSERT
            _log.warning("slow query plan", extra={**fields, "plan": plan})

    def _rows(self, statement: str, parameters: int) -> Sequence[Any]:
        if isinstance(self._engine, Engine):
            with self._engine.connect() as connection:
                return self._explain_on(connection, statement, parameters)
        return asyncio.run(self._rows_async(self._engine, statement, parameters))

    async def _rows_async(self, engine: "AsyncEngine", statement: str, parameters: int) -> Sequence[Any]:
        async with engine.connect() as connection:
            return await connection.run_sync(self._explain_on, statement, parameters)


def _explain_postgresql(connection: Connection, statement: str, parameters: int) -> Sequence[Any]:
    # EXPLAIN (GENERIC_PLAN) exists since version 16; prepared statements have generic plans since 12. Leave no
    # setting and no prepared statement behind: a connection pooler may give this session to another client next.
    with connection.begin():
        connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
        connection.exec_driver_sql(f"PREPARE {_NAME} AS {statement}")
        values = f"({', '.join(['NULL'] * parameters)})" if parameters else ""
        rows = connection.exec_driver_sql(f"EXPLAIN EXECUTE {_NAME}{values}").all()
        connection.exec_driver_sql(f"DEALLOCATE {_NAME}")
        return rows


def _explain_sqlite(connection: Connection, statement: str, parameters: int) -> Sequence[Any]:
    return connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", (None,) * parameters).all()


def _driver_error(error: BaseException) -> BaseException:
    return getattr(error, "orig", None) or error
