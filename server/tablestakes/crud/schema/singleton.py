"""The row of a singleton (AIP-156): the resource is there with its parent, also before a row was written for it."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, cast

from google.protobuf.descriptor import Descriptor
from sqlalchemy import (
    Column,
    ColumnElement,
    Insert,
    Row,
    Select,
    Table,
    bindparam,
    case,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.visitors import replacement_traverse

from tablestakes.columns import first_version
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.key import Key
from tablestakes.crud.schema.audit import CREATE_TIME, CREATED_BY, UPDATE_TIME, Audit
from tablestakes.crud.schema.conditional import Conditional, given, to
from tablestakes.crud.schema.deletion import live
from tablestakes.crud.schema.etag import UNWRITTEN, VERSION
from tablestakes.crud.schema.name import Names
from tablestakes.crud.session import Session

# SQLAlchemy has ON CONFLICT in its INSERT of each database, and not in the one for all of them.
INSERTS: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class Singleton:
    """How the row of a singleton is read, beside its parent's, and how it is made.

    Args:
        table: Its table, whose primary key refers to the parent's.
        key: The primary key.
        parent: The parent's primary key.
        audit: Its audit columns.

    Attributes:
        live: The conditions under which the parent of one that `select` reads is not deleted softly.
    """

    def __init__(self, table: Table, key: Column[Any], parent: Column[Any], audit: Audit) -> None:
        self._table = table
        self._key = key
        self._parent = parent
        self._audit = audit
        self.live = live(parent.table)
        self._upsert = cache(self._build)
        self._insert = cache(self._build_insert)

    def select(self, columns: Iterable[ColumnElement[Any]]) -> Select[Any]:
        """Return the statement that reads some columns; without a row they have the values of a new one.

        It reads the singletons of every parent; `id` has theirs.
        """
        joined = self._parent.table.outerjoin(self._table, self._key == self._parent)
        return select(*(self._selected(column) for column in columns)).select_from(joined)

    @property
    def id(self) -> Column[Any]:
        """The column that has the id in the name of a singleton that `select` reads."""
        return self._parent

    def _selected(self, expression: ColumnElement[Any]) -> ColumnElement[Any]:
        if isinstance(expression, Column):
            return self.value(expression)

        def replaced(element: Any, **_: Any) -> Any:
            return self.value(element) if isinstance(element, Column) else None

        return cast("ColumnElement[Any]", replacement_traverse(expression, {}, replaced))

    def value(self, column: Column[Any]) -> ColumnElement[Any]:
        """Return a column as `select` has it: without a row, the value of a new one."""
        if column is self._key:
            return self._parent
        if column.name in (CREATE_TIME, UPDATE_TIME) and CREATE_TIME in self._parent.table.c:
            # A singleton that was never written to is as old as its parent.
            return func.coalesce(column, self._parent.table.c[CREATE_TIME])
        if column.name == VERSION:
            return func.coalesce(column, UNWRITTEN).label(VERSION)
        default: Any = column.default
        if default is None:
            return column
        return case((self._key.is_(None), literal(default.arg, column.type)), else_=column).label(column.name)

    def write(
        self, session: Session, key: Key, values: Mapping[str, Any], returning: Iterable[ColumnElement[Any]]
    ) -> Row[Any] | None:
        """Change the row, or make it where there is none, in one statement.

        Args:
            session: The session.
            key: The id of the parent.
            values: The values to write, by column.
            returning: The columns to return.

        Returns:
            The row, or None where there is no parent.
        """
        row: Row[Any] | None = self._execute(session, key, values, tuple(returning)).first()
        return row

    def ensure(self, session: Session, key: Key) -> bool:
        """Make the row, as a new one, where there is a parent and no row yet; return whether it was made."""
        return bool(self._execute(session, key, {}, (self._key,)).first())

    def insert(
        self,
        session: Session,
        written: frozenset[str],
        returning: Sequence[ColumnElement[Any]],
        version: Column[Any],
    ) -> Conditional:
        """Return the statement that makes the row where there is none yet, and else tells its version.

        Args:
            session: The session.
            written: The columns to write; their parameters are `to_<column>`, and those of `made`.
            returning: The columns to return.
            version: The column of the version.
        """
        return self._insert(session.connection.dialect.name, written, tuple(returning), version)

    def made(self, session: Session) -> dict[str, Any]:
        """Return the values of a new row that callers do not give."""
        version = {VERSION: first_version()} if VERSION in self._table.c else {}
        return self._audit.created(session) | version

    def _execute(
        self, session: Session, key: Key, values: Mapping[str, Any], returning: tuple[ColumnElement[Any], ...]
    ) -> Any:
        connection = session.connection
        statement = self._upsert(connection.dialect.name, frozenset(values), returning)
        parameters = to({**self.made(session), **values}) | Names.bind(key)
        return connection.execute(statement, parameters)

    def _build(self, dialect: str, written: frozenset[str], returning: tuple[ColumnElement[Any], ...]) -> Insert:
        # One statement is kept for each set of columns that callers write together.
        statement = self._from_parent(dialect, written)
        if written:
            changed = sorted((written | self._audit.columns) - {CREATE_TIME, CREATED_BY})
            new = {name: statement.excluded[name] for name in changed}
            if VERSION in self._table.c:
                new[VERSION] = self._table.c[VERSION] + 1
            statement = statement.on_conflict_do_update(index_elements=[self._key], set_=new)
        else:
            statement = statement.on_conflict_do_nothing(index_elements=[self._key])
        return cast(Insert, statement.returning(*returning) if returning else statement)

    def _build_insert(
        self, dialect: str, written: frozenset[str], returning: tuple[ColumnElement[Any], ...], version: Column[Any]
    ) -> Conditional:
        statement = self._from_parent(dialect, written).on_conflict_do_nothing(index_elements=[self._key])
        of_parent = self.select([version]).where(self._parent == bindparam("key_0"))
        return Conditional(statement, returning, of_parent)

    def _from_parent(self, dialect: str, written: frozenset[str]) -> Any:
        # INSERT … SELECT from the parent inserts nothing where there is no parent.
        names = written | self._audit.columns | ({VERSION} & set(self._table.c.keys()))
        values: dict[str, ColumnElement[Any]] = {self._key.name: self._parent}
        values |= given(frozenset(names), self._table)
        if CREATE_TIME in values and CREATE_TIME in self._parent.table.c:
            values[CREATE_TIME] = self._parent.table.c[CREATE_TIME]
        found = select(*values.values()).where(self._parent == bindparam("key_0"), *self.live)
        if self.live:
            # As the foreign key locks it, and before it is looked at: it may be about to be deleted.
            found = found.with_for_update(read=True, key_share=True)
        return INSERTS[dialect](self._table).from_select(list(values), found)


def singleton_of(message: Descriptor, table: Table, names: Names, audit: Audit) -> Singleton:
    """Return how the row of a singleton is read and made.

    Raises:
        DeclarationError: The primary key is not one that refers to the parent's, or a column has no plain default.
    """
    key = names.id_column
    targets = [each.column for each in key.foreign_keys]
    if list(table.primary_key.columns) != [key] or len(targets) != 1 or len(names.columns) != 1:
        raise DeclarationError(
            f"{message.full_name} is a singleton: the primary key of {table.name} must be {key.name} alone, and"
            " refer to its parent's"
        )
    for column in table.columns:
        default: Any = column.default
        if column is key or column.name in audit.columns or column.name == VERSION:
            continue
        if default is not None and not default.is_scalar:
            raise DeclarationError(
                f"{table.name}.{column.name} needs a plain default: a singleton has it before there is a row"
            )
        if default is None and not column.nullable:
            raise DeclarationError(
                f"{table.name}.{column.name} needs a default, or must be nullable: a singleton is there before"
                " a value was written"
            )
    return Singleton(table, key, targets[0], audit)
