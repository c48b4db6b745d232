"""Bringing a database's schema to the one that the models describe, and telling whether it is there."""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import structlog
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from alembic import command
from tablestakes.database.engine import Database
from tablestakes.database.schema_error import SchemaError

log = structlog.get_logger()


@dataclass(frozen=True)
class Revisions:
    """The revision of a database, and the one that it should have.

    Attributes:
        current: The database's revision, or "" where it has no schema yet.
        head: The revision that this version serves.
    """

    current: str
    head: str


@dataclass(frozen=True)
class Migrations:
    """The migrations of a service.

    Attributes:
        folder: Alembic's folder of them, with `env.py` in it.
        command: The command that migrates, for messages: `tablestakes migrate`.
    """

    folder: Path
    command: str

    async def revisions(self, database: Database) -> Revisions:
        """Return the revision of a database, and the one that it should have.

        A SQLite file is only read for it, also while another process serves it.
        """
        try:
            return await database.run(self._revisions, reads=True)
        except OperationalError:
            if database.reading is None:
                raise
        # There is no file yet, and reading makes none; or another migrator is just making it.
        async with database.backend.migrators_lock(database.engine), database.engine.connect() as connection:
            return await connection.run_sync(self._revisions)

    async def require_head(self, database: Database) -> Revisions:
        """Return the revision of a database whose schema is the one that this version serves, or a newer one.

        Raises:
            SchemaError: It is older.
        """
        found = await self.revisions(database)
        if found.current and found.current not in self._known:
            # Old and new code run side by side during a release, and a migration only adds.
            log.warning("schema of a newer version", revision=found.current, serves=found.head)
        elif found.current != found.head:
            raise SchemaError(
                f"the database is at revision {found.current or 'none'} and this version serves {found.head}:"
                f" run `{self.command}`"
            )
        return found

    async def upgrade(self, database: Database, revision: str = "head") -> Revisions:
        """Bring a database up to a revision, each step once however many migrators there are.

        Args:
            database: A database, with room for two connections on PostgreSQL.
            revision: The revision to go to.

        Returns:
            The revision after it.

        Raises:
            SchemaError: Another migrator had the lock for too long, or a newer version made the schema.
        """
        return await self._migrate(database, command.upgrade, revision)

    async def downgrade(self, database: Database, revision: str) -> Revisions:
        """Bring a database back to an older revision, or to none with `base`; as `upgrade` in all else."""
        return await self._migrate(database, command.downgrade, revision)

    async def _migrate(self, database: Database, step: Callable[[Config, str], None], revision: str) -> Revisions:
        engine, backend = database.engine, database.backend
        async with backend.migrators_lock(engine), engine.connect() as connection, backend.migrating(connection):
            await connection.execution_options(isolation_level="SERIALIZABLE")
            try:
                await connection.run_sync(self._run, step, revision)
                return await connection.run_sync(self._revisions)
            finally:
                await connection.rollback()

    async def write(self, database: Database, message: str) -> Path:
        """Write a migration from the difference between the models and a database, and return its file.

        Args:
            database: A database that is at the newest revision.
            message: Says what the migration does; the name of its file is made of it.
        """
        async with database.engine.connect() as connection:
            await connection.execution_options(isolation_level="SERIALIZABLE")
            return await connection.run_sync(self._write, message)

    def _write(self, connection: Connection, message: str) -> Path:
        made: Any = command.revision(self._configuration(connection=connection), message, autogenerate=True)
        connection.rollback()
        return Path(made.path)

    def _configuration(self, **attributes: Any) -> Config:
        # Quiet: Alembic would print each of its steps.
        config = Config(attributes=attributes, cmd_opts=Namespace(quiet=True))
        # The value is interpolated: a % in a path would be taken for the start of a name.
        config.set_main_option("script_location", str(self.folder).replace("%", "%%"))
        config.set_main_option("file_template", "%%(year)d%%(month).2d%%(day).2d_%%(slug)s")
        return config

    @cached_property
    def _scripts(self) -> ScriptDirectory:
        return ScriptDirectory.from_config(self._configuration())

    @property
    def _known(self) -> set[str]:
        return {script.revision for script in self._scripts.walk_revisions()}

    def _revisions(self, connection: Connection) -> Revisions:
        heads = MigrationContext.configure(connection).get_current_heads()
        return Revisions(",".join(heads), self._scripts.get_current_head() or "")

    def _run(self, connection: Connection, step: Callable[[Config, str], None], revision: str) -> None:
        current = self._revisions(connection).current
        connection.rollback()  # Alembic begins, and so commits, a transaction of its own
        if current and current not in self._known:
            raise SchemaError(
                f"the database is at revision {current}, which a newer version made: serve that version, or run"
                f" `alembic downgrade {self._scripts.get_current_head()}` in a checkout of it first"
            )
        step(self._configuration(connection=connection), revision)
