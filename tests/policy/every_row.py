"""A plugin for pytest: the whole contract, with every statement restricted by conditions that are true of each row.

    python -m pytest -p tests.policy.every_row tests/contract tests/library

Nothing may be any different. The tests that count statements are left out: a row is looked at once more after it
was written.
"""

import pytest

from tablestakes import Caller, Method, Settings
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.security.row_security import RowSecurity
from tablestakes.crud.security.rules import Row, Rules, TableRules
from tablestakes.policy.policies import Policies

COUNTING = (
    "takes_one_statement",
    "costs_no_more_round_trips",
    "test_many_are_created_in_the_order_of_the_requests",
)
_rules: dict[int, Rules] = {}


def _table_rules(schema: Schema) -> TableRules:
    column = schema.names.id_column

    def is_there(row: Row) -> object:
        return row(column).is_not(None)

    absent = None if schema.singleton is None else schema.singleton.value
    return TableRules(is_there, is_there, frozenset(schema.table.columns.keys()), absent)  # type: ignore[arg-type]


def _of(_: Policies, __: Caller, method: Method) -> RowSecurity:
    served = method.schema.served
    if (rules := _rules.get(id(served))) is None:
        rules = _rules[id(served)] = Rules({each.table: _table_rules(each) for each in served.values()})
    return RowSecurity(rules, target=None if method.reads else method.schema.table)


def pytest_configure() -> None:
    """Turn policies on for every server, and let them restrict nothing."""
    Policies.of = _of  # type: ignore[method-assign, assignment]
    Settings.model_fields["policy"].default = "on"
    Settings.model_rebuild(force=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that count statements."""
    out = [each for each in items if any(name in each.name for name in COUNTING)]
    config.hook.pytest_deselected(items=out)
    items[:] = [each for each in items if each not in out]
