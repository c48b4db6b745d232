"""The error that a wrong filter is, before it is known which field of a request has it."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from tablestakes.errors import StatusError, invalid_field

NONE: Mapping[str, str] = MappingProxyType({})


class FilterError(Exception):
    """A filter is not well formed, asks for what there is not, or for too much.

    Attributes:
        problem: A sentence, without the place.
        position: The character of the filter at fault, counted from 1; None where it is the filter as a whole.
        reason: The same for a program, in UPPER_SNAKE_CASE.
        details: The values that the sentence names: the `path` of a field of the filter, and what was `expected`.
    """

    def __init__(self, problem: str, position: int | None, reason: str, details: Mapping[str, str] = NONE) -> None:
        super().__init__(problem)
        self.problem = problem
        self.position = position
        self.reason = reason
        self.details = details

    def __str__(self) -> str:
        return self.problem if self.position is None else f"is wrong at character {self.position}: {self.problem}"

    def status(self, field: str) -> StatusError:
        """Return INVALID_ARGUMENT on the field of a request that has the filter."""
        error = invalid_field(field, str(self), self.reason)
        place = {} if self.position is None else {"position": str(self.position)}
        return replace(error, metadata={**error.metadata, **place, **self.details})
