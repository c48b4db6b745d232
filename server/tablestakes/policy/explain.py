"""Explaining what a caller may do with a resource, policy by policy."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from tablestakes.crud.call import Caller
from tablestakes.crud.key import Key
from tablestakes.crud.method import Method
from tablestakes.crud.resource import Resource
from tablestakes.crud.row_policy import EVERY_ROW
from tablestakes.crud.security.rules import Row
from tablestakes.database import Database
from tablestakes.filter.checked import Condition
from tablestakes.filter.compile import compile_condition
from tablestakes.policy.condition import has_value, operands, read_condition, without
from tablestakes.policy.policies import Policies, attributes_of


@dataclass(frozen=True)
class Verdict:
    """Whether a condition of a row policy is true of a row.

    Attributes:
        to: Whose policy it is.
        use: `read` or `write`.
        text: The condition as it is declared.
        applies: Whether the caller has the role.
        holds: Whether it is true of the row; None where there is no such row.
    """

    to: str
    use: str
    text: str
    applies: bool
    holds: bool | None

    def __str__(self) -> str:
        if not self.applies:
            said = "not this caller's"
        else:
            said = {None: "there is no such row", True: "true", False: "false"}[self.holds]
        return f"{self.to}  {self.use}  {self.text or 'no row'}  -> {said}"


async def explain_rows(
    policies: Policies, resource: Resource, method: Method, caller: Caller, key: Key, database: Database
) -> list[Verdict]:
    """Return whether each condition of a resource's row policies is true of a row, in the order of the declaration.

    Args:
        policies: The policies of the service.
        resource: The declaration of the resource.
        method: The method that is called.
        caller: Who calls.
        key: The ids in the resource's name.
        database: The database.
    """
    roles = policies.roles_of(caller)

    def look(connection: Connection) -> list[Verdict]:
        return [
            Verdict(
                policy.to,
                use,
                text,
                policy.to in roles,
                _holds(connection, method, read_condition(text, method.schema, policy.to), caller, key),
            )
            for policy in resource.rows
            for use, text in (("read", policy.read), ("write", policy.write))
            if text or use == "read"
        ]

    return await database.run(look, reads=True)


def _holds(connection: Connection, method: Method, condition: Condition, caller: Caller, key: Key) -> bool | None:
    """Return whether a condition is true of the row of a key, None where there is none."""
    schema, attributes = method.schema, attributes_of(caller)
    absent = [each for each in operands(condition) if not has_value(each, attributes)]
    row: Row | None = None if schema.singleton is None else schema.singleton.value
    known = without(condition, absent)
    compiled = compile_condition(known) if row is None else compile_condition(known, row=row)
    statement = schema.rows.select(schema.full).with_only_columns(compiled.clause, maintain_column_froms=True)
    found = connection.execute(statement, schema.names.bind(key) | compiled.bind(attributes)).first()
    return None if found is None else bool(found[0])


def conclusion(verdicts: list[Verdict], method: Method) -> str:
    """Return what becomes of a call, by the row policies, in a sentence."""
    if not verdicts:
        return "OK: the resource has no row policies, so every row may be used"
    if any(each.holds is None for each in verdicts):
        return "NOT_FOUND: there is no such resource"
    mine = [each for each in verdicts if each.applies and each.holds]
    if not any(each.use == "read" for each in mine):
        return "NOT_FOUND: no policy of the caller lets it see the resource"
    if method.reads or any(each.use == "write" for each in mine):
        return "OK: policies let the caller do it"
    return "PERMISSION_DENIED: policies let the caller see the resource, and not write it"


def rows_of(resource: Resource) -> Iterator[tuple[str, str, str]]:
    """Yield the rows that each role may read, and those that it may write, for people."""
    for policy in resource.rows:
        yield policy.to, _said(policy.read), _said(policy.write)


def _said(text: str) -> str:
    return {"": "none", EVERY_ROW: "every row"}.get(text.strip(), text)
