"""What a statement is called: its verb and its table, derived once for each compiled construct."""

import re
from typing import Any, NamedTuple

from sqlalchemy import CompoundSelect, Function, Join, Select, TableClause, TextClause, TextualSelect
from sqlalchemy.engine import ExecutionContext
from sqlalchemy.engine.interfaces import ExecuteStyle
from sqlalchemy.schema import ExecutableDDLElement

RAW = "raw"
"""The collection of text() and of SQL given straight to the driver: nothing here parses SQL for tables."""

# Aliases of subqueries of aliases end somewhere; a construct that contains itself must not hang a query.
_DEPTH = 16
# Possessive, so that no SQL text can make the search backtrack.
_VERB = re.compile(r"(?:\s|\(|--[^\n]*+(?:\n|$)|/\*(?:[^*]|\*(?!/))*+\*/)*+([A-Za-z]+)")
_DML = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
_DDL = frozenset({"CREATE", "ALTER", "DROP", "TRUNCATE", "COMMENT", "GRANT", "REVOKE"})


class Operation(NamedTuple):
    """`db_operation_name` and `db_collection_name` of a statement."""

    name: str
    collection: str


def operation(context: ExecutionContext | None, statement: str) -> Operation:
    """Name the statement that is about to run.

    Args:
        context: Its execution context, if it has one.
        statement: The SQL text that goes to the driver.

    Returns:
        The verb, with `BATCH ` before it if the driver is given many sets of parameters at once. An
        insertmanyvalues batch is one INSERT with many rows, and is named as that.
    """
    # While a column default is executed, the context is still that of the INSERT it is made for; only then
    # does it carry the current parameters.
    if context is None or getattr(context, "current_parameters", None) is not None:
        return Operation(_verb(statement), RAW)
    if context.compiled is None:
        return Operation(f"BATCH {_verb(statement)}" if is_batch(context) else _verb(statement), RAW)
    # Compiled constructs live in SQLAlchemy's cache: what is kept on one is derived once, and goes with it.
    compiled: Any = context.compiled
    pair: tuple[Operation, Operation] | None = getattr(compiled, "tablestakes_operations", None)
    if pair is None:
        # Compiling resolves what lambdas and the ORM put around a statement; text and DDL have no such state.
        construct = getattr(compiled.compile_state, "statement", compiled.statement)
        single = _named(construct, statement)
        pair = (single, Operation(f"BATCH {single.name}", single.collection))
        compiled.tablestakes_operations = pair
    return pair[is_batch(context)]


def repeatable(context: ExecutionContext | None, statement: str) -> Any:
    """Return what a statement has in common with its repetitions.

    Returns:
        Its compiled construct, or its text where it has none. None for the batches of insertmanyvalues: they are
        how one statement is sent.
    """
    if context is None or context.compiled is None or getattr(context, "current_parameters", None) is not None:
        return statement
    return None if context.execute_style is ExecuteStyle.INSERTMANYVALUES else context.compiled


def is_batch(context: ExecutionContext) -> bool:
    """Return whether the driver is given many sets of parameters at once."""
    return context.execute_style is ExecuteStyle.EXECUTEMANY


def _named(construct: Any, statement: str) -> Operation:
    if isinstance(construct, ExecutableDDLElement):
        element = getattr(construct, "element", None)
        return Operation("DDL", RAW if element is None else _collection(element))
    if isinstance(construct, (TextClause, TextualSelect)):
        return Operation(_verb(statement), RAW)
    for name in ("select", "insert", "update", "delete"):
        if getattr(construct, f"is_{name}", False):
            return Operation(name.upper(), _collection(construct))
    return Operation("OTHER", "")


def _verb(statement: str) -> str:
    match = _VERB.match(statement)
    verb = match[1].upper() if match else ""
    return verb if verb in _DML else "DDL" if verb in _DDL else "OTHER"


def _collection(construct: Any) -> str:
    """Return the first table that a construct names, or "" if it names none."""
    for _ in range(_DEPTH):
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
            case _:  # INSERT, UPDATE, DELETE and an index have a table; what wraps something has an element
                table = getattr(construct, "table", None)
                construct = getattr(construct, "element", None) if table is None else table
    return ""


def _froms(select: Select[Any]) -> Any:
    try:
        return select.get_final_froms()
    except Exception:  # noqa: BLE001 - SQLAlchemy can compile it but not take it apart: time it without a name
        return ()
