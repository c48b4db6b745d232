"""Filters (AIP-160): from their text to a tree, to what they ask of a resource, to a condition of SQLAlchemy.

The three steps are functions of their own: `parse`, `check` and `compile_condition`. `Filters` takes them together,
once for each shape of a filter.
"""

from tablestakes.filter.check import check
from tablestakes.filter.compile import Compiled, compile_condition
from tablestakes.filter.error import FilterError
from tablestakes.filter.filters import Filters
from tablestakes.filter.limits import Limits
from tablestakes.filter.parse import parse

__all__ = ["Compiled", "FilterError", "Filters", "Limits", "check", "compile_condition", "parse"]
