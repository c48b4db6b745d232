"""The row and field policies of a service, compiled at start: they give each call its row security."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Column, ColumnElement, Table
from sqlalchemy.sql.visitors import iterate

from tablestakes.crud.call import Caller
from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.method import Method
from tablestakes.crud.resource import Resource
from tablestakes.crud.row_policy import ANYONE, AUTHENTICATED, FieldPolicy
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.security.row_security import RowSecurity
from tablestakes.crud.security.rules import Clause, FieldRules, Row, Rules, TableRules
from tablestakes.filter.checked import Condition, Operand
from tablestakes.filter.compile import Compiled, compile_condition
from tablestakes.policy.condition import CALLER, EVERY, has_value, operands, read_condition, simplified, without

# Callers whose rules are at hand: those that called last.
MOST_CALLERS = 10_000


@dataclass(frozen=True, eq=False)
class _Policy:
    """A row policy, checked.

    Attributes:
        to: The role.
        read: The rows that may be seen.
        write: The rows that may be written.
    """

    to: str
    read: Condition
    write: Condition


@dataclass(frozen=True, eq=False)
class _Resource:
    """The policies of one resource."""

    schema: Schema
    rows: tuple[_Policy, ...]
    fields: tuple[FieldPolicy, ...]


@dataclass(frozen=True, eq=False)
class _Alike:
    """The rules of callers who are alike, and the conditions that need the values of each."""

    rules: Rules
    conditions: tuple[Compiled, ...]


@dataclass(frozen=True, eq=False)
class _Known:
    """A caller, and its row security by the table that a call writes."""

    caller: Caller
    by_target: dict[Table | None, RowSecurity | None]


class Policies:
    """The policies of all resources.

    Args:
        resources: The declarations.
        schemas: The resources, compiled, by the full names of their messages.

    Raises:
        DeclarationError: A policy names a field that there is not, or is no filter.
    """

    def __init__(self, resources: Iterable[Resource], schemas: Mapping[str, Schema]) -> None:
        self._resources = [_read(each, schemas[each.descriptor.full_name]) for each in resources]
        self._roles = {policy.to for each in self._resources for policy in each.rows}
        self._roles |= {
            role
            for each in self._resources
            for policy in each.fields
            for role in (policy.readers or frozenset()) | (policy.writers or frozenset())
        }
        self._operands = tuple(
            dict.fromkeys(
                operand
                for each in self._resources
                for policy in each.rows
                for condition in (policy.read, policy.write)
                for operand in operands(condition)
            )
        )
        self._alike: dict[tuple[frozenset[str], frozenset[Operand]], _Alike] = {}
        self._known: OrderedDict[int, _Known] = OrderedDict()

    def of(self, caller: Caller, method: Method) -> RowSecurity | None:
        """Return the row security of a call; None where its caller may use every row and every field.

        Args:
            caller: Who calls.
            method: The method that is called.
        """
        # By its identity, for a caller is authenticated once, and not for each call.
        known = self._known.get(id(caller))
        if known is None or known.caller is not caller:
            known = self._known[id(caller)] = _Known(caller, {})
            if len(self._known) > MOST_CALLERS:
                self._known.popitem(last=False)
        target = None if method.reads else method.schema.table
        if target not in known.by_target:
            known.by_target[target] = self._make(caller, target)
        return known.by_target[target]

    def roles_of(self, caller: Caller) -> frozenset[str]:
        """Return the roles of a caller to which there are policies, ANYONE and AUTHENTICATED among them."""
        also = {ANYONE} if caller.subject is None else {ANYONE, AUTHENTICATED}
        return frozenset((caller.roles | also) & self._roles)

    def _make(self, caller: Caller, target: Table | None) -> RowSecurity | None:
        attributes = attributes_of(caller)
        roles = self.roles_of(caller)
        absent = frozenset(each for each in self._operands if not has_value(each, attributes))
        alike = self._alike.get((roles, absent))
        if alike is None:
            alike = self._alike[roles, absent] = self._compile(roles, absent)
        fields = {
            each.schema.descriptor.full_name: rules
            for each in self._resources
            if (rules := _fields(each.fields, roles, attributes)) is not None
        }
        if not alike.rules.tables and not fields:
            return None
        values: dict[str, Any] = {}
        for compiled in alike.conditions:
            values |= compiled.bind(attributes)
        return RowSecurity(alike.rules, values, fields, target)

    def _compile(self, roles: frozenset[str], absent: Collection[Operand]) -> _Alike:
        tables: dict[Table, TableRules] = {}
        found: list[Compiled] = []
        for each in self._resources:
            if not each.rows:
                continue
            policies = [policy for policy in each.rows if policy.to in roles]
            read = simplified([without(policy.read, absent) for policy in policies])
            write = simplified([without(policy.write, absent) for policy in policies])
            if read == EVERY and write == EVERY:
                continue
            table = each.schema.table
            seen, written = _clause(read, f"{table.name}_read", found), _clause(write, f"{table.name}_write", found)
            columns = _columns(table, (seen, written))
            tables[table] = TableRules(seen, written, columns, _absent(each.schema))
        hidden = frozenset(
            each.schema.descriptor.fields_by_name[policy.field].full_name
            for each in self._resources
            for policy in each.fields
            if policy.readers is not None and roles.isdisjoint(policy.readers)
        )
        return _Alike(Rules(tables, hidden), tuple(found))


def attributes_of(caller: Caller) -> dict[str, str]:
    """Return the values of a policy's parameters for a caller: `caller.subject` and the others that it has."""
    found = {f"{CALLER}{name}": value for name, value in caller.attributes.items()}
    return found if caller.subject is None else found | {f"{CALLER}subject": caller.subject}


def _read(resource: Resource, schema: Schema) -> _Resource:
    name = schema.descriptor.full_name
    rows = tuple(
        _Policy(
            each.to,
            read_condition(each.read, schema, each.to),
            read_condition(each.write, schema, each.to),
        )
        for each in resource.rows
    )
    for policy in resource.fields:
        if policy.field not in {part.name for part in schema.parts}:
            known = [part.name for part in schema.parts]
            raise DeclarationError(f"{name} has a policy for {policy.field}; {likely(policy.field, known)}")
        if policy.preset and not policy.preset.startswith(f"${CALLER}"):
            raise DeclarationError(f"{name}.{policy.field}: the preset {policy.preset} is no ${CALLER}<attribute>")
        if policy.preset and (field := schema.descriptor.fields_by_name[policy.field]).type != field.TYPE_STRING:
            raise DeclarationError(f"{name}.{policy.field} has a preset, and is no text")
    return _Resource(schema, rows, tuple(resource.fields))


def _clause(condition: Condition, prefix: str, found: list[Compiled]) -> Clause | None:
    """Return the clause of a condition, None where it is true of every row."""
    if condition == EVERY:
        return None
    found.append(compile_condition(condition, prefix=prefix))

    def clause(row: Row) -> ColumnElement[bool]:
        return compile_condition(condition, prefix=prefix, row=row).clause

    return clause


def _columns(table: Table, clauses: Iterable[Clause | None]) -> frozenset[str]:
    """Return the columns of a table that some conditions are about."""

    def row(column: Column[Any]) -> ColumnElement[Any]:
        return column

    return frozenset(
        element.name
        for clause in clauses
        if clause is not None
        for element in iterate(clause(row))
        if isinstance(element, Column) and element.table is table
    )


def _absent(schema: Schema) -> Row | None:
    return None if schema.singleton is None else cast(Row, schema.singleton.value)


def _fields(
    policies: Sequence[FieldPolicy], roles: frozenset[str], attributes: Mapping[str, str]
) -> FieldRules | None:
    hidden = {each.field for each in policies if each.readers is not None and roles.isdisjoint(each.readers)}
    others = [each for each in policies if each.writers is not None and roles.isdisjoint(each.writers)]
    presets = {each.field: attributes.get(each.preset[1:]) for each in others if each.preset}
    fixed = hidden | {each.field for each in others if not each.preset}
    if not (hidden or fixed or presets):
        return None
    return FieldRules(frozenset(hidden), frozenset(fixed - presets.keys()), presets)
