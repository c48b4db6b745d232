"""The table of request ids: what was answered to each write that its caller may repeat (AIP-155).

A row is inserted before the work of its write, and in the same transaction: whoever comes with the same id waits
for the end of that transaction, and then finds its answer, or does the work because nothing was kept of it. An id
is kept as a hash that nobody can make who does not know the id.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    bindparam,
    delete,
    inspect,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from tablestakes.columns import Instant
from tablestakes.database.engine import Database
from tablestakes.database.schema_error import SchemaError

NAME = "request_ids"

TABLE = Table(
    NAME,
    MetaData(),
    Column("id", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    # NULL inside the transaction that inserts the row, and never after it.
    Column("response", LargeBinary),
    Column("create_time", Instant, nullable=False),
    PrimaryKeyConstraint("id", name=f"pk_{NAME}"),
    Index(f"ix_{NAME}_create_time", "create_time"),
)

_VALUES: dict[str, Any] = {"id": bindparam("id_"), "digest": bindparam("digest_"), "create_time": bindparam("now_")}
_CLAIMS: dict[str, Any] = {
    "postgresql": postgresql.insert(TABLE).values(_VALUES).on_conflict_do_nothing().returning(TABLE.c.id),
    "sqlite": sqlite.insert(TABLE).values(_VALUES).on_conflict_do_nothing().returning(TABLE.c.id),
}
_FIND = select(TABLE.c.digest, TABLE.c.response).where(TABLE.c.id == bindparam("id_"))
_KEEP = update(TABLE).where(TABLE.c.id == bindparam("id_")).values(response=bindparam("response_"))
# Another replica may be sweeping the same rows.
_OLD = (
    select(TABLE.c.id)
    .where(TABLE.c.create_time < bindparam("before_"))
    .order_by(TABLE.c.create_time)
    .limit(bindparam("limit_"))
    .with_for_update(skip_locked=True)
)
_SWEEP = delete(TABLE).where(TABLE.c.id.in_(_OLD))


@dataclass(frozen=True, slots=True)
class Answered:
    """A write that was done.

    Attributes:
        digest: The digest of its request.
        response: The bytes of its response.
    """

    digest: bytes
    response: bytes


def declare(metadata: MetaData) -> None:
    """Add the table to those of a service, whose next migration then makes it."""
    if NAME not in metadata.tables:
        TABLE.to_metadata(metadata)


async def require_table(database: Database) -> None:
    """Do nothing where a database has the table.

    Raises:
        SchemaError: It has not: its service was given requests with a `request_id`, and no migration.
    """
    if not await database.run(lambda connection: inspect(connection).has_table(NAME), reads=True):
        raise SchemaError(f"requests have a request_id, and the database no table {NAME}: write a migration for it")


def claim(connection: Connection, id_: bytes, digest: bytes, now: datetime) -> Answered | None:
    """Take an id for the transaction of a connection; where it was taken before, return what was answered to it.

    Where another transaction has it, this waits for that one to end, on PostgreSQL at most for its `lock_timeout`.

    Args:
        connection: A connection, in a transaction.
        id_: The id's hash.
        digest: The digest of the request.
        now: The time of the claim, from which on it is kept.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The database's error; of kind CONFLICT where the other one took too long.
    """
    parameters = {"id_": id_, "digest_": digest, "now_": now}
    insert = _CLAIMS[connection.dialect.name]
    while True:
        if connection.execute(insert, parameters).first() is not None:
            return None
        if (found := connection.execute(_FIND, {"id_": id_}).first()) is not None:
            return Answered(found.digest, found.response)
        # It was swept between the two statements.


def keep(connection: Connection, id_: bytes, response: bytes) -> None:
    """Keep the answer to a write, in the transaction that has claimed its id."""
    connection.execute(_KEEP, {"id_": id_, "response_": response})


def sweep(connection: Connection, before: datetime, limit: int) -> int:
    """Delete the oldest ids from before a time.

    Args:
        connection: A connection.
        before: The time.
        limit: The most to delete.

    Returns:
        How many were deleted.
    """
    return int(connection.execute(_SWEEP, {"before_": before, "limit_": limit}).rowcount)
