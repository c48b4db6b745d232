"""The references of a table's rows to rows that can be deleted softly: no live row may refer to a deleted one.

A foreign key alone does not see to that, for the deleted row is there. Who makes a row refer to another one locks
that one as a foreign key does, and looks whether it is live; who deletes it locks it against that first.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    ForeignKeyConstraint,
    FromClause,
    Select,
    Table,
    and_,
    bindparam,
    func,
    select,
)

from tablestakes.crud.schema.deletion import DanglingError, live
from tablestakes.crud.security.row_security import current_security


class Guard:
    """The references of a table to rows that can be deleted softly.

    Args:
        table: The table.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    @cached_property
    def _keys(self) -> list[tuple[ForeignKeyConstraint, Select[Any]]]:
        """Each foreign key, with the statement that finds, and where it can be deleted locks, what it refers to."""
        found = []
        for key in sorted(self._table.foreign_key_constraints, key=lambda each: str(each.name)):
            same = [
                each.column == bindparam(f"to_{each.parent.name}", type_=each.column.type) for each in key.elements
            ]
            wanted = select(1).select_from(key.referred_table).where(*same)
            found.append((key, _held(wanted, key.referred_table)))
        return found

    @cached_property
    def _softly(self) -> list[tuple[ForeignKeyConstraint, Select[Any]]]:
        """Those that refer to rows which can be deleted softly."""
        return [each for each in self._keys if live(each[0].referred_table)]

    def _looked_at(self) -> list[tuple[ForeignKeyConstraint, Select[Any]]]:
        """Return those whose foreign key does not say it all: what they refer to may not be there for the call."""
        security = current_security.get()
        if security is None:
            return self._softly
        hidden = security.rules.tables
        return [each for each in self._keys if each in self._softly or each[0].referred_table in hidden]

    def guards(self, columns: Collection[str]) -> bool:
        """Return whether a write of some columns has to be in a transaction, for what it refers to is locked."""
        return any(set(key.column_keys) <= set(columns) for key, _ in self._softly)

    def require(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Lock what some values refer to until the transaction ends.

        Args:
            connection: A connection, in a transaction.
            values: Values to write, by column.

        Raises:
            DanglingError: One of them refers to what is deleted, or not there, or not to be seen by the caller.
        """
        for key, wanted in self._looked_at():
            if any(values.get(name) is None for name in key.column_keys):
                continue
            if connection.execute(wanted, {f"to_{name}": values[name] for name in key.column_keys}).first() is None:
                raise DanglingError

    def require_all(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Lock what many rows of values refer to, each resource once; as `require` in all else."""
        every = list(rows)
        for key, _ in self._looked_at():
            names = key.column_keys
            wanted = {tuple(row.get(name) for name in names) for row in every}
            ids = {each for each in wanted if None not in each}
            if len(names) == 1 and ids:
                target = key.elements[0].column
                alone = {id_ for (id_,) in ids}
                found = _held(select(target).where(target.in_(alone)), target.table)
                if set(connection.scalars(found)) != alone:
                    raise DanglingError
            else:
                for each in sorted(ids, key=str):
                    self.require(connection, dict(zip(names, each, strict=True)))

    def dead(self, connection: Connection, rows: ColumnElement[bool], parameters: Mapping[str, Any]) -> bool:
        """Lock what some rows refer to until the transaction ends, and return whether any of it is deleted.

        Args:
            connection: A connection, in a transaction.
            rows: The condition for the rows.
            parameters: Its parameters.
        """
        for key, _ in self._softly:
            target = key.referred_table
            same = and_(*(each.parent == each.column for each in key.elements))
            of_rows = select(1).select_from(self._table).where(rows, same).correlate(target).exists()
            locked = select(target.c[key.elements[0].column.name]).where(of_rows)
            # Counted by the database, for there may be many.
            all_ = locked.with_for_update(read=True, key_share=True).subquery()
            connection.execute(select(func.count()).select_from(all_), parameters)
            joined = self._table.join(target, same)
            dead = select(1).select_from(joined).where(rows, ~and_(*live(target))).limit(1)
            if connection.execute(dead, parameters).first() is not None:
                return True
        return False


def _held(found: Select[Any], table: FromClause) -> Select[Any]:
    """Return a statement that finds live rows, and locks them as a foreign key does, where they can be deleted."""
    conditions = live(table)
    return found.where(*conditions).with_for_update(read=True, key_share=True) if conditions else found
