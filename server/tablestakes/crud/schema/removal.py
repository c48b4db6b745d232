"""Deleting softly, restoring and purging the rows of a resource (AIP-164, AIP-165).

No live row is below a deleted one or refers to one, except for what cannot be deleted softly itself: below a
resource that is deleted with `force` that stays, to be read, and goes when the resource is purged. A resource is
locked against new references before it is looked whether there are any.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    Update,
    and_,
    bindparam,
    delete,
    func,
    not_,
    or_,
    select,
    update,
)

from tablestakes.columns import DELETE_TIME, EXPIRE_TIME
from tablestakes.crud.key import Key
from tablestakes.crud.schema.deletion import live
from tablestakes.crud.security.restrict import every_row
from tablestakes.crud.session import Session
from tablestakes.crud.written import Kind
from tablestakes.errors import has_children, in_use, not_deleted, refers_to_deleted

if TYPE_CHECKING:
    from tablestakes.crud.schema.schema import Schema

BATCH = 100
"""How many resources a batch of a purge removes; what is below them goes with them."""


@dataclass(frozen=True)
class _Referrer:
    """A table whose rows keep others from being deleted.

    Attributes:
        rows: An alias of it.
        refers: The condition that a row of it refers to one of the other table.
    """

    rows: FromClause
    refers: ColumnElement[bool]


class Removal:
    """How the rows of a resource are deleted softly, restored and purged.

    Args:
        schema: The resource, whose message has `delete_time`.
    """

    def __init__(self, schema: "Schema") -> None:
        self._schema = schema
        self._table = schema.table
        self._names = schema.names
        self._depth = len(schema.names.columns)

    def delete(
        self, session: Session, key: Key, retention: timedelta, *, version: int | None = None, force: bool = False
    ) -> Row[Any] | None:
        """Mark the row of a key as deleted, and return it as the full view reads it; None where no live one is.

        Args:
            session: The session, in a transaction.
            key: The ids in the resource's name.
            retention: For how long it can be restored.
            version: The version that the row must have, None for any.
            force: Whether to delete it although there are resources below it. Those that can be deleted softly are
                deleted with it.

        Raises:
            StatusError: ABORTED, the row has another version; FAILED_PRECONDITION, there are resources below it
                and `force` is not set, or others refer to it or to what would be deleted with it.
        """
        # Whoever makes a resource below it, or one that refers to it, locks this row too.
        if not self._schema.rows.lock(session, key, version):
            return None
        # Whoever may delete it may delete what is below it: nothing may be left that the caller cannot see.
        with session.elevated():
            return self._delete(session, key, retention, force=force)

    def _delete(self, session: Session, key: Key, retention: timedelta, *, force: bool) -> Row[Any]:
        connection, bound, name = session.connection, self._names.bind(key), self._names.format(key)
        with_it = self._below if force else []
        if not force and any(connection.execute(look, bound).first() for look in self._children):
            raise has_children(name)
        for each in reversed(with_it):
            locked = select(each.names.id_column).where(each.names.below(self._depth), *live(each.table))
            # Counted by the database, for there may be many.
            connection.execute(select(func.count()).select_from(locked.with_for_update().subquery()), bound)
        times = {DELETE_TIME: session.now, EXPIRE_TIME: session.now + retention}
        for each in with_it:
            rows = and_(each.names.below(self._depth), *live(each.table))
            change = update(each.table).where(rows).values(times | each.audit.changed(session))
            self._change_all(session, each, change, bound, "deleted")
        for each in (self._schema, *with_it):
            if any(connection.execute(look, bound).first() for look in self._references_to(each)):
                raise in_use(name)
        change = update(self._table).where(self._names.where()).values(times | self._schema.audit.changed(session))
        row: Row[Any] = connection.execute(change.returning(*self._schema.full.columns), bound).one()
        self._schema.wrote(session, "deleted", key, row)
        return row

    def _change_all(
        self, session: Session, schema: "Schema", change: Update, parameters: Mapping[str, Any], kind: Kind
    ) -> None:
        """Change the rows of a resource below this one, and tell of each where somebody listens."""
        if not schema.on_write:
            session.connection.execute(change, parameters)
            return
        for row in session.connection.execute(change.returning(*schema.full.columns), parameters):
            schema.wrote(session, kind, schema.full.key(row), row)

    def undelete(self, session: Session, key: Key, version: int | None = None) -> Row[Any] | None:
        """Restore the row of a key and what was deleted with it, and return it as the full view reads it.

        Args:
            session: The session, in a transaction.
            key: The ids in the resource's name.
            version: The version that the row must have, None for any.

        Returns:
            The row; None where there is none.

        Raises:
            StatusError: ABORTED, the row has another version; ALREADY_EXISTS, it is not deleted;
                FAILED_PRECONDITION, it or what was deleted with it refers to what is deleted.
            sqlalchemy.exc.IntegrityError: Another row has its values by now.
        """
        connection, bound, name = session.connection, self._names.bind(key), self._names.format(key)
        told = [self._table.c[DELETE_TIME], *([] if self._schema.version is None else [self._schema.version])]
        own = self._names.where(deleted=True)
        found = connection.execute(select(*told).where(own).with_for_update(), bound).first()
        if found is None:
            return None
        if version is not None:
            self._schema.rows.check_version(key, version, found[1])
        if found[0] is None:
            raise not_deleted(name)
        with session.elevated():
            row = self._undelete(session, key, found[0])
        self._schema.rows.require_allowed(session, [key], (DELETE_TIME, EXPIRE_TIME))
        return row

    def _undelete(self, session: Session, key: Key, deleted: datetime) -> Row[Any] | None:
        connection, bound, name = session.connection, self._names.bind(key), self._names.format(key)
        own, row = self._names.where(deleted=True), None
        for each in (self._schema, *reversed(self._below)):
            rows = own
            if each is not self._schema:
                rows = and_(each.names.below(self._depth), each.table.c[DELETE_TIME] == bindparam("deleted"))
            parameters = {**bound, "deleted": deleted}
            if each.rows.guard.dead(connection, rows, parameters):
                raise refers_to_deleted(name)
            values = {DELETE_TIME: None, EXPIRE_TIME: None} | each.audit.changed(session)
            change = update(each.table).where(rows).values(values)
            if each is self._schema:
                row = connection.execute(change.returning(*self._schema.full.columns), parameters).one()
                self._schema.wrote(session, "undeleted", key, row)
            else:
                self._change_all(session, each, change, parameters, "undeleted")
        return row

    def count(
        self, connection: Connection, only: Sequence[ColumnElement[bool]], bound: Mapping[str, Any], most: int
    ) -> int:
        """Return how many deleted rows a purge would remove, at the most so many."""
        rows = self._purgeable.where(*only).limit(most).subquery()
        return int(connection.execute(select(func.count()).select_from(rows), bound).scalar_one())

    def sample(
        self, connection: Connection, only: Sequence[ColumnElement[bool]], bound: Mapping[str, Any], most: int
    ) -> list[str]:
        """Return the names of some deleted rows that a purge would remove, in the order of their ids."""
        rows = self._purgeable.where(*only).order_by(self._names.id_column).limit(most)
        return [self._names.format(tuple(row)) for row in connection.execute(rows, bound)]

    def purge(
        self,
        session: Session,
        only: Sequence[ColumnElement[bool]],
        bound: Mapping[str, Any],
        most: int = BATCH,
    ) -> int:
        """Remove a batch of deleted rows for good, with all that is below them.

        Rows that another transaction has locked are left to it, and so are those to which others refer.

        Args:
            session: The session, in a transaction.
            only: Conditions on the rows.
            bound: Their parameters.
            most: How many rows are removed at most.

        Returns:
            How many were removed.
        """
        connection = session.connection
        wanted = self._purgeable.where(*only).order_by(self._table.c[EXPIRE_TIME]).limit(most)
        locked = connection.execute(wanted.with_for_update(skip_locked=True, of=self._table), bound).all()
        if not locked:
            return 0
        ids = {"ids": [row[-1] for row in locked]}
        removed: Any = bindparam("ids", expanding=True)
        with session.elevated():
            # Deepest first, for each is referred to by those below it.
            for each in self._schema.descendants:
                each.rows.delete_where(session, each.names.columns[self._depth - 1].in_(removed), ids)
            connection.execute(delete(self._table).where(self._names.id_column.in_(removed)), ids)
        for row in locked:
            self._schema.wrote(session, "purged", tuple(row))
        return len(locked)

    def expired(self, before: datetime) -> list[ColumnElement[bool]]:
        """Return the conditions for rows that expired before a time, and nothing below them later."""
        found: list[ColumnElement[bool]] = [self._table.c[EXPIRE_TIME] < before]
        for each in self._below:
            time = each.table.c[EXPIRE_TIME]
            later = select(1).where(self._is_above(each), or_(time.is_(None), time >= before))
            found.append(not_(later.correlate(self._table).exists()))
        return found

    @cached_property
    def _below(self) -> list["Schema"]:
        """The resources below it that are deleted softly too, deepest first."""
        return [each for each in self._schema.descendants if each.removal is not None]

    @cached_property
    def _children(self) -> list[Select[Any]]:
        return [
            select(1).select_from(each.table).where(each.names.below(self._depth), *live(each.table)).limit(1)
            for each in self._schema.descendants
        ]

    @cached_property
    def _purgeable(self) -> Select[Any]:
        """The keys of deleted rows to which, and to what is below which, nothing refers that would stay."""
        kept = []
        for each in (self._schema, *self._schema.descendants):
            for referrer in self._referrers(each):
                found = select(1).where(referrer.refers)
                if each is not self._schema:
                    found = found.where(self._is_above(each))
                kept.append(not_(found.correlate(self._table).exists()))
        return select(*self._names.columns).where(self._table.c[DELETE_TIME].is_not(None), *kept)

    def _is_above(self, below: "Schema") -> ColumnElement[bool]:
        return below.names.columns[self._depth - 1] == self._names.id_column

    def _references_to(self, schema: "Schema") -> Iterator[Select[Any]]:
        """Yield statements that find a live row which refers to the row of a name, or to what is below it."""
        rows = self._names.where(deleted=True) if schema is self._schema else schema.names.below(self._depth)
        for referrer in self._referrers(schema):
            found = select(1).select_from(referrer.rows.join(schema.table, referrer.refers))
            yield found.where(rows, *live(referrer.rows)).limit(1)

    def _referrers(self, schema: "Schema") -> Iterator[_Referrer]:
        """Yield the tables that keep rows of a resource from being deleted, except for those of what is below it.

        A foreign key that says what becomes of its rows (ON DELETE CASCADE, or SET NULL) is not in the way.
        """
        below = {each.table: each for each in schema.descendants}
        for table in sorted(schema.table.metadata.tables.values(), key=lambda each: each.name):
            for key in sorted(table.foreign_key_constraints, key=lambda each: str(each.name)):
                if key.referred_table is not schema.table or (key.ondelete or "NO ACTION") not in _REFUSING:
                    continue
                if table in below and _is_of_parent(key.column_keys, below[table]):
                    continue
                rows = every_row(table)
                yield _Referrer(rows, and_(*(rows.c[e.parent.name] == e.column for e in key.elements)))


_REFUSING = frozenset({"NO ACTION", "RESTRICT"})


def _is_of_parent(columns: Sequence[str], child: "Schema") -> bool:
    return set(columns) <= {column.name for column in child.names.columns[:-1]}
