"""Naming statements by their verb and their table."""

import re
from typing import Any, NamedTuple

from sqlalchemy import CTE, CompoundSelect, Function, Join, Select, TableClause, TextClause, TextualSelect
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.visitors import iterate

RAW = "raw"
"""The collection of text() and of SQL given directly to the driver: nothing here parses SQL to find tables."""

# Nested aliases and subqueries are followed this deep, so that a construct that contains itself ends too.
_MAX_DEPTH = 16
# The quantifiers are possessive (*+), so that no SQL text can make the search backtrack.
_VERB = re.compile(r"(?:\s|\(|--[^\n]*+(?:\n|$)|/\*(?:[^*]|\*(?!/))*+\*/)*+([A-Za-z]+)")
_DML = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
_DDL = frozenset({"CREATE", "ALTER", "DROP", "TRUNCATE", "COMMENT", "GRANT", "REVOKE"})


class Operation(NamedTuple):
    """`db_operation_name` and `db_collection_name` of a statement."""

    name: str
    collection: str


class Query:
    """A statement without its values.

    All executions of one compiled construct, or of one SQL text that was given directly to the driver, share a
    Query.

    Attributes:
        operation: Its name.
        text: Its SQL with placeholders. If a list of values makes the SQL vary, it is the SQL that was sent first.
    """

    __slots__ = ("operation", "text")

    def __init__(self, operation: Operation, text: str) -> None:
        self.operation = operation
        self.text = text


def operation(compiled: Any, statement: str) -> Operation:
    """Return the name of a statement.

    Args:
        compiled: Its compiled construct, None for SQL that is given directly to the driver.
        statement: The SQL that goes to the driver.
    """
    if compiled is None:
        return Operation(_verb(statement), RAW)
    # The compile state has the statement without the wrappers of lambdas and the ORM. Text and DDL have no such
    # state.
    return _operation_of(getattr(compiled.compile_state, "statement", compiled.statement), statement)


def _operation_of(construct: Any, statement: str) -> Operation:
    if isinstance(construct, ExecutableDDLElement):
        element = getattr(construct, "element", None)
        return Operation("DDL", RAW if element is None else _collection(element))
    if isinstance(construct, (TextClause, TextualSelect)):
        return Operation(_verb(statement), RAW)
    construct = _changing(construct)
    for name in ("select", "insert", "update", "delete"):
        if getattr(construct, f"is_{name}", False):
            return Operation(name.upper(), _collection(construct))
    return Operation("OTHER", "")


def _changing(construct: Any) -> Any:
    """Return the INSERT, UPDATE or DELETE that a SELECT has as a common table expression, or else itself."""
    if not isinstance(construct, Select):
        return construct
    expressions = (each.element for each in iterate(construct) if isinstance(each, CTE))
    return next((each for each in expressions if isinstance(each, UpdateBase)), construct)


def _verb(statement: str) -> str:
    match = _VERB.match(statement)
    verb = match[1].upper() if match else ""
    return verb if verb in _DML else "DDL" if verb in _DDL else "OTHER"


def _collection(construct: Any) -> str:
    """Return the first table that a construct names, or "" if it names none."""
    for _ in range(_MAX_DEPTH):
        match construct:
            case TableClause():
                return construct.fullname
            case Function():
                return construct.name
            case TextClause():
                return RAW
            case Join():
                construct = construct.left
            case CompoundSelect():
                construct = construct.selects[0]
            case Select():
                construct = next(iter(_froms(construct)), None)
            case _:  # INSERT, UPDATE, DELETE and an index have a table; a wrapper has an element
                table = getattr(construct, "table", None)
                construct = getattr(construct, "element", None) if table is None else table
    return ""


def _froms(select: Select[Any]) -> Any:
    try:
        return select.get_final_froms()
    except Exception:  # noqa: BLE001 - a statement that SQLAlchemy can compile but not analyze has no table
        return ()
