"""The shape of a filter: its text with the same value in the place of each value.

What is compared in which way follows from the shape alone: texts of one shape differ in their bound parameters.
"""

import re
from typing import TypeAlias

from tablestakes.filter.error import FilterError
from tablestakes.filter.lexicon import BARE, STRING, UNCLOSED, wildcards

Found: TypeAlias = tuple[str, int]
"""A value as it is written, and its place in the filter."""

# A step of a path in quotes is no value; what is on the right of an operator is one, and so is all else in quotes.
_VALUE = re.compile(rf"(\.{STRING})|({STRING})|([<>=:]\s*+)({BARE})|({UNCLOSED})")

_ENDS = {(False, False): "v", (True, False): "*v", (False, True): "v*", (True, True): "*v*"}
_QUOTED = {ends: f'"{text}"' for ends, text in _ENDS.items()}


def shape(text: str) -> tuple[str, list[Found]]:
    """Return the shape of a filter, and its values in their order.

    Raises:
        FilterError: A quote is not closed.
    """
    values: list[Found] = []

    def replace(found: re.Match[str]) -> str:
        step, string, operator, bare, unclosed = found.groups()
        if string is not None:
            values.append((string, found.start()))
            return _QUOTED[wildcards(string)] if "*" in string else '"v"'
        if bare is not None:
            values.append((bare, found.start(4)))
            if bare == "*":
                values.pop()
                return found[0]
            return operator + (_ENDS[wildcards(bare)] if "*" in bare else "v")
        if unclosed is not None:
            raise FilterError(
                "a quote is not closed.", found.start() + 1, "FILTER_SYNTAX", {"expected": "a closing quote"}
            )
        return step

    return _VALUE.sub(replace, text), values
