"""Sessions through a pooler such as pgbouncer: found out, used as far as it goes, and refused beyond that."""

import asyncio
import enum
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import asyncpg
import structlog

from tablestakes.database.hosts import Hosts

log = structlog.get_logger()

# How often two sessions are compared. One comparison can miss that they share a server connection, where many
# others use the pooler at the same time; all of them do not.
ROUNDS = 10
# In milliseconds, as pg_settings shows them.
BOUNDS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")


class PoolerError(ConnectionError):
    """The pooler cannot be used; the message is one line that says why, and what to set."""


class Pooling(enum.Enum):
    """Whose a server connection is."""

    NONE = "none"  # there is no pooler
    SESSION = "session"  # of one session until it ends
    TRANSACTION = "transaction"  # of one transaction until it ends


class Sessions:
    """Opens sessions that have the given parameters, with or without a pooler in between.

    PostgreSQL takes parameters with the start of a session. A pooler refuses or ignores them: where a session keeps
    its server connection they are set in the session, and where it does not, each must have come from the role.

    Args:
        lasting: Whether what is set in a session, or locked by it, must last as long as the session.
    """

    def __init__(self, *, lasting: bool = False) -> None:
        self._lasting = lasting
        self._hosts = Hosts()
        self._refuses_parameters = False
        self._pooling: Pooling | None = None
        self._finding = asyncio.Lock()

    async def connect(self, *, server_settings: Mapping[str, str], **options: Any) -> asyncpg.Connection:
        """Return a connection; SQLAlchemy's `async_creator_fn`.

        Args:
            server_settings: The parameters of the session.
            options: Those of `Hosts.connect`.

        Raises:
            PoolerError: There is a pooler that cannot give such sessions.
            OSError: As `Hosts.connect`.
            asyncpg.PostgresError: As `Hosts.connect`.
        """
        connection = await self._open(server_settings, options)
        try:
            if self._pooling is None:
                async with self._finding:
                    if self._pooling is None:
                        self._pooling = await self._find(connection, server_settings, options)
            if self._pooling is Pooling.SESSION:
                await connection.execute(";".join(_set(*parameter) for parameter in server_settings.items()))
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _open(self, parameters: Mapping[str, str], options: Mapping[str, Any]) -> asyncpg.Connection:
        if not self._refuses_parameters:
            try:
                return await self._hosts.connect(server_settings=dict(parameters), **options)
            except asyncpg.ProtocolViolationError as error:
                if "startup parameter" not in str(error):
                    raise
                self._refuses_parameters = True
        known = {name: value for name, value in parameters.items() if name == "application_name"}
        return await self._hosts.connect(server_settings=known, **options)

    async def _find(
        self, connection: asyncpg.Connection, parameters: Mapping[str, str], options: Mapping[str, Any]
    ) -> Pooling:
        # The id of the process that a session was given to cancel its statements by is the pooler's invention.
        if await _process(connection) == connection.get_server_pid():
            return Pooling.NONE
        pooling = await self._compare(connection, parameters, options)
        if pooling is Pooling.TRANSACTION:
            await self._require_transactions_enough(connection, parameters, str(options.get("user")))
        log.info("connected through a pooler", pooling=pooling.value)
        return pooling

    async def _compare(
        self, first: asyncpg.Connection, parameters: Mapping[str, str], options: Mapping[str, Any]
    ) -> Pooling:
        """Return whether a server connection is only of the session that has used it."""
        second = await self._open(parameters, options)
        try:
            async with asyncio.timeout(options.get("timeout")):
                for _ in range(ROUNDS):
                    before = await _process(first)
                    async with second.transaction():
                        if await _process(second) == before or await _process(first) != before:
                            return Pooling.TRANSACTION
        except TimeoutError:
            raise PoolerError("the pooler has no server connection free to find out its pool_mode by") from None
        except (asyncpg.ProtocolViolationError, asyncpg.ConnectionDoesNotExistError) as error:
            raise PoolerError(f"the pooler cannot be used ({error}): set pool_mode = session there") from None
        finally:
            second.terminate()
        return Pooling.SESSION

    async def _require_transactions_enough(
        self, connection: asyncpg.Connection, parameters: Mapping[str, str], role: str
    ) -> None:
        if self._lasting:
            raise PoolerError(
                "the pooler pools transactions, and this needs a session of its own: connect to PostgreSQL itself,"
                " or to a pooler with pool_mode = session"
            )
        if not await _keeps_statements(connection):
            raise PoolerError(
                "the pooler pools transactions and keeps no prepared statements, as pgbouncer before 1.21 or with"
                " max_prepared_statements = 0: set pool_mode = session there, or let it keep them"
            )
        lacking = []
        for name in BOUNDS:
            asked = int(parameters[name])
            found = int(await _ask(connection, f"SELECT setting FROM pg_settings WHERE name = '{name}'"))  # noqa: S608 - a constant
            if not 0 < found <= asked:
                lacking.append(f"ALTER ROLE {role} SET {name} = {asked}")
        if lacking:
            raise PoolerError(
                "the pooler pools transactions, so no session can bound its own statements and the role must:"
                f" {'; '.join(lacking)}; then RECONNECT in the pooler"
            )


async def _ask(connection: asyncpg.Connection, query: str) -> str:
    """Return the one value of a query.

    COPY is a single message of the simple protocol. Any other query that returns something is prepared first, and a
    pooler could give the statement to one server connection and its execution to another.
    """
    parts: list[bytes] = []

    async def take(data: bytes) -> None:
        parts.append(data)

    await connection.copy_from_query(query, output=take)
    return b"".join(parts).decode().strip()


async def _process(connection: asyncpg.Connection) -> int:
    return int(await _ask(connection, "SELECT pg_backend_pid()"))


async def _keeps_statements(connection: asyncpg.Connection) -> bool:
    """Return whether the pooler knows of prepared statements: then it gives each a name of its own."""
    name = f"tablestakes_{uuid4().hex}"
    async with connection.transaction():
        await connection.prepare("SELECT 1", name=name)
        unchanged = await _ask(connection, f"SELECT count(*) FROM pg_prepared_statements WHERE name = '{name}'")  # noqa: S608 - made here
        if unchanged != "0":
            await connection.execute(f"DEALLOCATE {name}")
    return unchanged == "0"


def _set(name: str, value: str) -> str:
    quoted = value.replace("'", "''")
    return f"SET {name} = '{quoted}'"
