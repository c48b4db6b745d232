"""The shape of a filter: its text with the same value in the place of each value.

What is compared in which way follows from the shape alone: texts of one shape differ in their bound parameters.
"""

import re
from typing import TypeAlias

from tablestakes.filter.error import FilterError
from tablestakes.filter.lexicon import BARE, CLOSING, STRING, UNCLOSED, wildcards

Found: TypeAlias = tuple[str, int]
"""A value as it is written, and its place in the filter."""

# A text in quotes is a value, but for a step of a path, and so is the text on the right of an operator. All begin
# with one of a few characters, so that the search jumps from one to the next.
_VALUE = re.compile(
    rf"""[."'<>=:](?:(?<=\.){STRING}|({CLOSING})|(?<=[<>=:])\s*+({BARE})|({UNCLOSED}))""",
)
_STRING, _BARE = 1, 2

_ENDS = {(False, False): "v", (True, False): "*v", (False, True): "v*", (True, True): "*v*"}
_QUOTED = {ends: f'"{text}"' for ends, text in _ENDS.items()}


def shape(text: str) -> tuple[str, list[Found]]:
    """Return the shape of a filter, and its values in their order.

    Raises:
        FilterError: A quote is not closed.
    """
    values: list[Found] = []

    def replace(found: re.Match[str]) -> str:
        kind, raw = found.lastindex, found[0]
        if kind == _STRING:
            values.append((raw, found.start()))
            return _QUOTED[wildcards(raw)] if "*" in raw else '"v"'
        if kind == _BARE:
            bare = found[_BARE]
            if bare != "*":
                values.append((bare, found.start(_BARE)))
                bare = _ENDS[wildcards(bare)] if "*" in bare else "v"
            return raw[0] + bare
        if kind is None:
            return raw
        raise FilterError(
            "a quote is not closed.", found.start() + 1, "FILTER_SYNTAX", {"expected": "a closing quote"}
        )

    return _VALUE.sub(replace, text), values
