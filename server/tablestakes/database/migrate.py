"""Bringing a database's schema to what the models say, and telling whether it is there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from alembic import command

# Any number that nothing else locks; the same for every migrator.
LOCK = 0x7AB1E57A
LOCK_SECONDS, LOCK_POLL_SECONDS = 300.0, 0.2

# Installed, the migrations are in the package; in a checkout they are beside it.
_HERE = Path(__file__).resolve().parent
SCRIPTS = _HERE / "alembic" if (_HERE / "alembic").is_dir() else _HERE.parents[2] / "alembic"


log = structlog.get_logger()


class SchemaError(Exception):
    """The schema is not what this version serves; the message says what to run."""


@dataclass(frozen=True)
class Schema:
    """Which revision a database is at.

    Attributes:
        current: Its revision, or "" where it has no schema yet.
        head: The revision that this version serves.
    """

    current: str
    head: str


async def schema(engine: AsyncEngine) -> Schema:
    """Return the revision that a database is at, and the one that it should be at."""
    async with engine.connect() as connection:
        return await connection.run_sync(_schema)


async def require_head(engine: AsyncEngine) -> None:
    """Do nothing where the schema is what this version serves, or what a newer one made of it.

    Raises:
        SchemaError: It is older.
    """
    found = await schema(engine)
    if found.current and found.current not in _known():
        # Old and new code run side by side during a release, and a migration only adds.
        log.warning("schema of a newer version", revision=found.current, serves=found.head)
    elif found.current != found.head:
        raise SchemaError(
            f"the database is at revision {found.current or 'none'} and this version serves {found.head}:"
            " run `tablestakes migrate`"
        )


async def upgrade(engine: AsyncEngine, revision: str = "head") -> Schema:
    """Bring a database up to a revision, each step once however many migrators there are.

    Args:
        engine: A database's engine, with room for two connections on PostgreSQL.
        revision: Where to go.

    Returns:
        Where it is then.

    Raises:
        SchemaError: Another migrator had the lock for too long, or a newer version made the schema.
    """
    return await _migrate(engine, command.upgrade, revision)


async def downgrade(engine: AsyncEngine, revision: str) -> Schema:
    """Bring a database back to an older revision, or to none with `base`; as `upgrade` in all else."""
    return await _migrate(engine, command.downgrade, revision)


async def _migrate(engine: AsyncEngine, step: Callable[[Config, str], None], revision: str) -> Schema:
    async with _alone(engine), engine.connect() as connection:
        # SQLite's way to change a table is to write it anew and drop the old one, which must not reach what
        # refers to it. The setting holds for the connection, and cannot be changed inside a transaction.
        sqlite = engine.dialect.name == "sqlite"
        if sqlite:
            await connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            await connection.rollback()
        try:
            await connection.execution_options(isolation_level="SERIALIZABLE")
            await connection.run_sync(_run, step, revision)
            return await connection.run_sync(_schema)
        finally:
            await connection.rollback()
            if sqlite:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                await connection.exec_driver_sql("PRAGMA foreign_keys=ON")


@asynccontextmanager
async def _alone(engine: AsyncEngine) -> AsyncIterator[None]:
    """Hold the migrators' lock: on SQLite the write lock of each migration's transaction serves."""
    if engine.dialect.name == "sqlite":
        yield
        return
    async with engine.connect() as connection:
        # By asking again and not by waiting: a session that waits for a lock keeps others from theirs.
        waiting = asyncio.timeout(LOCK_SECONDS)
        try:
            async with waiting:
                while not await connection.scalar(select(func.pg_try_advisory_lock(LOCK))):  # noqa: ASYNC110 - no event tells it
                    await asyncio.sleep(LOCK_POLL_SECONDS)
        except TimeoutError:
            if not waiting.expired():  # the driver's own
                raise
            raise SchemaError(f"another migration has been running for {LOCK_SECONDS:.0f} seconds") from None
        try:
            yield
        finally:
            await connection.execute(select(func.pg_advisory_unlock(LOCK)))


def configuration(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, for a connection where there is one already."""
    config = Config(attributes={"connection": connection})
    # The value is interpolated: a % in a path would be taken for the start of a name.
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    return config


def _known() -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions()}


def _schema(connection: Connection) -> Schema:
    heads = MigrationContext.configure(connection).get_current_heads()
    head = ScriptDirectory.from_config(configuration()).get_current_head()
    return Schema(",".join(heads), head or "")


def _run(connection: Connection, step: Callable[[Config, str], None], revision: str) -> None:
    current = _schema(connection).current
    connection.rollback()  # Alembic begins, and so commits, a transaction of its own
    if current and current not in _known():
        raise SchemaError(f"the database is at revision {current}, which a newer version of tablestakes made")
    step(configuration(connection), revision)
