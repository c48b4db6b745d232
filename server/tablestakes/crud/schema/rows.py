"""The rows of a resource: the statements that read and write them, by the ids in its names."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Insert,
    Row,
    Select,
    Update,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from tablestakes.crud.key import Key
from tablestakes.crud.schema.collection import padded
from tablestakes.crud.schema.conditional import Conditional, given, to
from tablestakes.crud.schema.etag import UNWRITTEN, etag_of
from tablestakes.crud.schema.guard import Guard
from tablestakes.crud.schema.singleton import INSERTS
from tablestakes.crud.schema.view import View
from tablestakes.crud.security.restrict import OPTION, WRITE
from tablestakes.crud.security.row_security import as_reader, current_security
from tablestakes.crud.session import Session
from tablestakes.errors import row_not_allowed, stale

if TYPE_CHECKING:
    from tablestakes.crud.schema.schema import Schema


class Rows:
    """The rows of a resource. Each statement is built once, when it is needed first.

    To a write a row that is deleted softly is not there, nor is one that a value refers to.

    Args:
        schema: The resource.

    Attributes:
        guard: Its references to rows that can be deleted softly. What writes them has to be atomic.
    """

    def __init__(self, schema: "Schema") -> None:
        self._schema = schema
        self._table = schema.table
        self._names = schema.names
        self._audit = schema.audit
        self._singleton = schema.singleton
        self._columns: Sequence[ColumnElement[Any]] = schema.full.columns
        self.guard = Guard(schema.table)

    def select(self, view: View) -> Select[Any]:
        """Return the statement that reads the row of a name for a view; `names.bind` gives its parameters.

        It reads a row that is deleted softly too, as Get does.
        """
        return self._select(view.columns, deleted=True)

    def _select(self, columns: Sequence[ColumnElement[Any]], *, deleted: bool = False) -> Select[Any]:
        if self._singleton is None:
            return select(*columns).where(self._names.where(deleted=deleted))
        found = self._singleton.select(columns).where(self._singleton.id == bindparam("key_0"))
        return found if deleted else found.where(*self._singleton.live)

    def select_many(self, view: View) -> Select[Any]:
        """Return the statement that reads rows for a view, by the last ids in their names: the parameter `ids`."""
        ids: BindParameter[Any] = bindparam("ids", expanding=True)
        if self._singleton is not None:
            return self._singleton.select(view.columns).where(self._singleton.id.in_(ids))
        return select(*view.columns).where(self._names.id_column.in_(ids), *self._names.live)

    def insert(self, session: Session, values: Mapping[str, Any]) -> Row[Any]:
        """Insert a row, and return it as the full view reads it.

        Args:
            session: The session.
            values: The values by column; the audit columns are filled, and others have their defaults.

        Raises:
            DanglingError: A value refers to what is deleted, which is answered as if it were not there.
        """
        self.guard.require(session.connection, values)
        audit = self._audit.created(session)
        row = session.connection.execute(self._insert, {**values, **audit}).one()
        self.require_allowed(session, [self._schema.full.key(row)])
        self._schema.wrote(session, "created", self._schema.full.key(row), row)
        return row

    def insert_absent(self, session: Session, values: Mapping[str, Any]) -> Row[Any] | None:
        """Insert a row as `insert` does, and return it; None where there is one with its primary key.

        Args:
            session: The session.
            values: The values by column, those of the primary key among them.
        """
        connection = session.connection
        self.guard.require(connection, values)
        statement = self._insert_absent(connection.dialect.name)
        row = connection.execute(statement, {**values, **self._audit.created(session)}).first()
        if row is not None:
            self.require_allowed(session, [self._schema.full.key(row)])
            self._schema.wrote(session, "created", self._schema.full.key(row), row)
        return row

    def update(
        self, session: Session, key: Key, values: Mapping[str, Any], version: int | None = None
    ) -> Row[Any] | None:
        """Change the row of a key, and return it as the full view reads it; None where there is none.

        A singleton's row is made where there is a parent and no row yet.

        Args:
            session: The session.
            key: The ids in the resource's name.
            values: The values by column; the audit columns and the version are filled.
            version: The version that the row must have, None for any.

        Raises:
            StatusError: ABORTED, the row has another version, and nothing was written; PERMISSION_DENIED, the
                caller may not write what the row would be.
        """
        if not self._may_make(session, key):
            return None
        self.guard.require(session.connection, values)
        row = self._updated(session, key, values, version)
        if row is not None:
            self.require_allowed(session, [key], values)
            self._schema.wrote(session, "updated", key, row)
        return row

    def require_allowed(
        self, session: Session, keys: Iterable[Key], columns: Collection[str] | None = None
    ) -> None:
        """Require that the caller may have rows as they were written; work that writes them has to be atomic.

        A function that writes rows by statements of its own calls this itself.

        Args:
            session: The session, in a transaction.
            keys: The ids in the names of the resources.
            columns: The columns that were written; None for new rows.

        Raises:
            StatusError: PERMISSION_DENIED, one of them is not among the rows that the caller may see and write.
        """
        security = current_security.get()
        if security is None or not security.checks(self._table, columns):
            return
        written = {key[-1]: key for key in keys}
        # A list of a few lengths has few statements.
        found = session.connection.scalars(self._allowed, {"ids": padded(list(written))})
        if missing := written.keys() - set(found):
            raise row_not_allowed(self._names.format(written[min(missing, key=str)]))

    def refuse_seen(self, session: Session, key: Key) -> None:
        """Refuse to write a row that is not there for a write, where the caller may see it.

        Args:
            session: The session.
            key: The ids in the resource's name.

        Raises:
            StatusError: PERMISSION_DENIED, the caller may see it.
        """
        security = current_security.get()
        if security is None or self._table not in security.rules.tables:
            return
        statement, bound = self._any, self._names.bind(key)
        if session.connection.execute(statement, bound).first() is not None:
            return  # it is there, and deleted softly
        with as_reader():
            if session.connection.execute(statement, bound).first() is not None:
                raise row_not_allowed(self._names.format(key))

    def _may_make(self, session: Session, key: Key) -> bool:
        """Return whether the caller may write the row of a singleton, which it would make where there is none."""
        security = current_security.get()
        if self._singleton is None or security is None or not security.checks(self._table, None):
            return True
        return session.connection.execute(self._writable, self._names.bind(key)).first() is not None

    def _updated(
        self, session: Session, key: Key, values: Mapping[str, Any], version: int | None
    ) -> Row[Any] | None:
        if version is not None:
            return self._update_version(session, key, values, version)
        if self._singleton is not None:
            return self._singleton.write(session, key, values, self._columns)
        written = {**values, **self._audit.changed(session)}
        if not written and self._schema.version is None:
            return self.read(session, key)
        return session.connection.execute(self._update, self._names.bind(key) | written).first()

    def delete(self, session: Session, key: Key, version: int | None = None) -> bool:
        """Delete the row of a key, and return whether there was one.

        Args:
            session: The session.
            key: The ids in the resource's name.
            version: The version that the row must have, None for any.

        Raises:
            StatusError: ABORTED, the row has another version; nothing was deleted.
        """
        parameters = self._names.bind(key)
        if version is None:
            # RETURNING says whether there was a row, in the same round trip.
            row = session.connection.execute(self._delete, parameters).first()
        else:
            row = self._changed(session, self._delete_version, key, parameters, version)
        if row is not None:
            self._schema.wrote(session, "deleted", key)
        return row is not None

    def delete_where(self, session: Session, rows: ColumnElement[bool], parameters: Mapping[str, Any]) -> None:
        """Delete rows for good that go with those above them.

        Args:
            session: The session, in a transaction.
            rows: The condition for them.
            parameters: Its parameters.
        """
        change = delete(self._table).where(rows)
        if not self._schema.on_write:
            session.connection.execute(change, parameters)
            return
        for row in session.connection.execute(change.returning(*self._names.columns), parameters):
            self._schema.wrote(session, "deleted", tuple(row))

    def read(self, session: Session, key: Key, version: int | None = None) -> Row[Any] | None:
        """Return the row of a key as the full view reads it; None where there is none.

        Args:
            session: The session.
            key: The ids in the resource's name.
            version: The version that the row must have, None for any.

        Raises:
            StatusError: ABORTED, the row has another version.
        """
        row = session.connection.execute(self._read, self._names.bind(key)).first()
        if row is not None and version is not None:
            self.check_version(key, version, self.version_of(row))
        return row

    def lock(self, session: Session, key: Key, version: int | None = None) -> bool:
        """Lock the row of a key until the transaction ends, and return whether there is one.

        A singleton's is made where there is a parent and no row yet.

        Args:
            session: The session, in a transaction.
            key: The ids in the resource's name.
            version: The version that the row must have, None for any.

        Raises:
            StatusError: ABORTED, the row has another version.
        """
        parameters = self._names.bind(key)
        if not self._may_make(session, key):
            return False
        made = self._singleton is not None and self._singleton.ensure(session, key)
        row = session.connection.execute(self._lock, parameters).first()
        if row is not None and version is not None:
            self.check_version(key, version, UNWRITTEN if made else row[-1])
        return row is not None

    def version_of(self, row: Row[Any]) -> int:
        """Return the version of a row that the full view has read."""
        version: int = row[self._version_index]
        return version

    def check_version(self, key: Key, wanted: int, found: int) -> None:
        """Refuse an etag that is not the resource's.

        Args:
            key: The ids in the resource's name.
            wanted: The version that the caller's etag stands for.
            found: The version that the resource has.

        Raises:
            StatusError: ABORTED, they differ.
        """
        if wanted != found:
            raise stale(self._names.format(key), etag_of(found))

    @cached_property
    def _version_index(self) -> int:
        return self._columns.index(self._versioned)

    @property
    def _versioned(self) -> Column[Any]:
        if self._schema.version is None:
            raise TypeError(f"{self._schema.descriptor.full_name} has no etag")
        return self._schema.version

    def _update_version(
        self, session: Session, key: Key, values: Mapping[str, Any], version: int
    ) -> Row[Any] | None:
        if self._singleton is not None and version == UNWRITTEN:
            change = self._singleton.insert(session, frozenset(values), self._columns, self._versioned)
            written = {**self._singleton.made(session), **values}
        else:
            written = {**values, **self._audit.changed(session)}
            change = self._updates(frozenset(written))
        parameters = self._names.bind(key) | to(written)
        return self._changed(session, change, key, parameters, version)

    def _changed(
        self, session: Session, change: Conditional, key: Key, parameters: Mapping[str, Any], version: int
    ) -> Row[Any] | None:
        """Make a change of one version of a row, and return what it returns; None where there is no such row."""
        wanted = {**parameters, "version": version}
        row, told = change.execute(session.connection, wanted)
        while row is None and told is not None:
            self.check_version(key, version, told[0])
            # Told before the other transaction that was in the way: now it is known what that one wrote.
            row, told = change.execute(session.connection, wanted)
        return row

    @cached_property
    def _updates(self) -> Callable[[frozenset[str]], Conditional]:
        @cache  # one for each set of columns that callers write together
        def build(names: frozenset[str]) -> Conditional:
            change = self._of_version(update(self._table)).values(given(names, self._table))
            return Conditional(change, self._columns, self._look)

        return build

    @cached_property
    def _delete_version(self) -> Conditional:
        return Conditional(self._of_version(delete(self._table)), [self._names.id_column], self._look)

    def _of_version(self, change: Any) -> Any:
        return change.where(self._names.where(), self._versioned == bindparam("version"))

    @cached_property
    def _look(self) -> Select[Any]:
        return self._select([self._versioned])

    @cached_property
    def _lock(self) -> Select[Any]:
        columns = [self._names.id_column, *([] if self._schema.version is None else [self._schema.version])]
        return select(*columns).where(self._names.where()).with_for_update()

    @cached_property
    def _delete(self) -> Any:
        return delete(self._table).where(self._names.where()).returning(self._names.id_column)

    def ensure(self, session: Session, key: Key) -> None:
        """Make the row of a singleton, as a new one, where there is a parent and no row yet."""
        if self._singleton is None:
            raise TypeError(f"{self._schema.descriptor.full_name} is no singleton")
        if self._may_make(session, key):
            self._singleton.ensure(session, key)

    @cached_property
    def _insert(self) -> Insert:
        return insert(self._table).returning(*self._columns)

    @cached_property
    def _insert_absent(self) -> Callable[[str], Any]:
        @cache
        def build(dialect: str) -> Any:
            statement = INSERTS[dialect](self._table).returning(*self._columns)
            return statement.on_conflict_do_nothing(index_elements=list(self._table.primary_key.columns))

        return build

    @cached_property
    def _update(self) -> Update:
        return update(self._table).where(self._names.where()).returning(*self._columns)

    @cached_property
    def _allowed(self) -> Select[Any]:
        ids: BindParameter[Any] = bindparam("ids", expanding=True)
        found = select(self._names.id_column).where(self._names.id_column.in_(ids))
        return found.execution_options(**{OPTION: WRITE})

    @cached_property
    def _any(self) -> Select[Any]:
        return self._select([self._names.id_column], deleted=True)

    @cached_property
    def _writable(self) -> Select[Any]:
        return self._select([self._names.id_column]).execution_options(**{OPTION: WRITE})

    @cached_property
    def _read(self) -> Select[Any]:
        return self._select(self._columns)
