"""Many rows of a resource at once, in a few statements whatever their number.

On PostgreSQL the values of a column are one parameter, an array, of which `unnest` makes rows: the statement is the
same for any number of rows, and is compiled and prepared once. SQLite has no arrays and no round trips: there the
driver runs one statement for all rows, and another reads them back.

A database returns rows in no order that it promises, so they are found again by the ids in their names.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    Row,
    TableValuedAlias,
    bindparam,
    column,
    delete,
    func,
    insert,
    select,
    table,
    update,
)

from tablestakes.crud.key import Key
from tablestakes.crud.schema.collection import padded
from tablestakes.crud.schema.conditional import to
from tablestakes.crud.schema.guard import Guard
from tablestakes.crud.session import Session
from tablestakes.crud.written import Kind

if TYPE_CHECKING:
    from tablestakes.crud.schema.schema import Schema

# SQLite's own table of the ids that it has counted up to.
_COUNTERS = table("sqlite_sequence", column("name"), column("seq"))

Found = dict[Key, Row[Any]]
"""Rows by the ids in their names."""


class Many:
    """The rows of a resource, many at once.

    Args:
        schema: The resource.
    """

    def __init__(self, schema: "Schema") -> None:
        self._schema = schema
        self._names = schema.names
        self._id = schema.names.id_column
        self._table = schema.table
        self._audit = schema.audit
        self._columns: Sequence[ColumnElement[Any]] = schema.full.columns
        self._guard = Guard(self._table)
        self._inserts = cache(self._build_insert)
        self._updates = cache(self._build_update)
        self._selects = cache(self._build_select)

    @property
    def counts(self) -> bool:
        """Whether the database counts up the ids."""
        return self._id is self._table.autoincrement_column

    def new_ids(self, connection: Connection, count: int) -> list[int]:
        """Return ids that the database counts up and gives to nobody else.

        Args:
            connection: A connection, in a transaction.
            count: How many.
        """
        if connection.dialect.name == "postgresql":
            sequence = func.pg_get_serial_sequence(str(self._table), self._id.name)
            series = func.generate_series(1, count).alias("series")
            return list(connection.scalars(select(func.nextval(sequence)).select_from(series)))
        # Nobody else writes meanwhile: SQLite has one writer.
        last = connection.scalar(select(func.coalesce(func.max(self._id), 0))) or 0
        if self._table.dialect_kwargs.get("sqlite_autoincrement"):
            counters = select(_COUNTERS.c.seq).where(_COUNTERS.c.name == self._table.name)
            last = max(last, connection.scalar(counters) or 0)
        return list(range(last + 1, last + 1 + count))

    def insert(self, session: Session, rows: Sequence[Mapping[str, Any]]) -> Found:
        """Insert rows, and return them as the full view reads them.

        Args:
            session: The session, in a transaction.
            rows: The values of each by column, those of the primary key among them; the audit columns are filled,
                and others have their defaults.
        """
        self._guard.require_all(session.connection, rows)
        audit = self._audit.created(session)
        found: Found = {}
        for names, alike in self._alike({**self._defaults(row), **row, **audit} for row in rows).items():
            found |= self._run(session.connection, self._inserts, names, alike)
        self._schema.rows.require_allowed(session, found)
        self._wrote(session, "created", found)
        return found

    def update(self, session: Session, rows: Sequence[Mapping[str, Any]]) -> Found:
        """Change rows, and return them as the full view reads them.

        Args:
            session: The session, in a transaction.
            rows: The id and the new values of each, by column, of the same columns in each; the audit columns and
                the version are filled.
        """
        audit = self._audit.changed(session)
        counted = any(each.onupdate is not None for each in self._table.columns)
        if not rows or not (audit or counted or len(rows[0]) > 1):
            return {}
        self._guard.require_all(session.connection, rows)
        changed = [{**row, **audit} for row in rows]
        found = self._run(session.connection, self._updates, frozenset(changed[0]), changed)
        self._schema.rows.require_allowed(session, found, changed[0])
        self._wrote(session, "updated", found)
        return found

    def lock(self, session: Session, ids: Iterable[Any], columns: Iterable[Column[Any]] = ()) -> Found:
        """Lock rows until the transaction ends, in the order of their ids, and return those that there are.

        Args:
            session: The session, in a transaction.
            ids: The last ids in the names.
            columns: The columns to return after those of the full view.
        """
        statement = self._selects(tuple(columns), True)
        return self._by_key(session.connection.execute(statement, {"ids": padded(list(dict.fromkeys(ids)))}))

    def delete(self, session: Session, keys: Sequence[Key]) -> None:
        """Delete the rows of some keys, which are locked."""
        statement = delete(self._table).where(self._id.in_(bindparam("ids", expanding=True)))
        session.connection.execute(statement, {"ids": padded([key[-1] for key in keys])})
        self._wrote(session, "deleted", dict.fromkeys(keys))

    def _wrote(self, session: Session, kind: Kind, rows: Mapping[Key, Row[Any] | None]) -> None:
        for key, row in rows.items():
            self._schema.wrote(session, kind, key, row)

    def _run(
        self,
        connection: Connection,
        statements: Callable[[frozenset[str], str], Any],
        names: frozenset[str],
        rows: Sequence[Mapping[str, Any]],
    ) -> Found:
        dialect = connection.dialect.name
        statement = statements(names, dialect)
        if dialect == "postgresql":
            return self._by_key(connection.execute(statement, to({n: [row[n] for row in rows] for n in names})))
        connection.execute(statement, [to(row) for row in rows])
        ids = padded([row[self._id.name] for row in rows])
        return self._by_key(connection.execute(self._selects((), False), {"ids": ids}))

    def _by_key(self, rows: Iterable[Row[Any]]) -> Found:
        depth = len(self._names.columns)
        return {tuple(row[:depth]): row for row in rows}

    def _build_insert(self, names: frozenset[str], dialect: str) -> Any:
        order = sorted(names)
        if dialect != "postgresql":
            return insert(self._table).values({name: bindparam(f"to_{name}") for name in order})
        given = self._given(order)
        chosen = select(*(given.c[name] for name in order))
        # The defaults of the other columns that are SQL are evaluated for each row, and all others are given.
        return insert(self._table).from_select(order, chosen).returning(*self._columns)

    def _build_update(self, names: frozenset[str], dialect: str) -> Any:
        written = sorted(names - {self._id.name})
        if dialect != "postgresql":
            own = self._id == bindparam(f"to_{self._id.name}", type_=self._id.type)
            values: dict[str, Any] = {name: bindparam(f"to_{name}") for name in written}
            return update(self._table).where(own).values(values)
        given = self._given([self._id.name, *written])
        changed = update(self._table).where(self._id == given.c[self._id.name])
        return changed.values({name: given.c[name] for name in written}).returning(*self._columns)

    def _build_select(self, more: tuple[Column[Any], ...], lock: bool) -> Any:
        found = select(*self._columns, *more).where(
            self._id.in_(bindparam("ids", expanding=True)), *self._names.live
        )
        # In one order, so that two batches wait for each other and not both.
        return found.order_by(self._id).with_for_update() if lock else found

    def _given(self, names: Sequence[str]) -> TableValuedAlias:
        """Return the rows that PostgreSQL makes of the parameters `to_<column>`, an array each."""
        types = {name: self._table.c[name].type for name in names}
        # Of one dimension: a value that is a list itself, in JSON, is one value all the same.
        arrays = [bindparam(f"to_{name}", type_=ARRAY(kind, dimensions=1)) for name, kind in types.items()]
        columns = [column(name, kind) for name, kind in types.items()]
        return func.unnest(*arrays).table_valued(*columns, name="given").render_derived()

    def _alike(self, rows: Iterable[Mapping[str, Any]]) -> dict[frozenset[str], list[Mapping[str, Any]]]:
        """Return rows by the names of their columns; a column whose absence means NULL is in all of them."""
        all_rows = list(rows)
        named = {name for row in all_rows for name in row}
        empty = dict.fromkeys(name for name in named if self._table.c[name].server_default is None)
        found: dict[frozenset[str], list[Mapping[str, Any]]] = defaultdict(list)
        for row in all_rows:
            whole = {**empty, **row}
            found[frozenset(whole)].append(whole)
        return found

    def _defaults(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: make() for name, make in self._makers.items() if name not in row}

    @cached_property
    def _makers(self) -> dict[str, Callable[[], Any]]:
        """The functions that make the defaults that Python knows."""
        makers: dict[str, Callable[[], Any]] = {}
        for each in self._table.columns:
            default: Any = each.default
            if default is not None and default.is_callable:
                makers[each.name] = partial(default.arg, None)
            elif default is not None and default.is_scalar:
                makers[each.name] = partial(copy, default.arg)
        return makers
