"""The filters of one resource: compiled once for each shape."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from tablestakes.crud.schema.schema import Schema
from tablestakes.filter.check import check
from tablestakes.filter.compile import Bound, Compiled, compile_condition
from tablestakes.filter.limits import Limits
from tablestakes.filter.parse import DEFAULT, parse, parser, too_long
from tablestakes.filter.shape import shape
from tablestakes.filter.tree import Literal

MOST_SHAPES = 1000


@dataclass(frozen=True, eq=False)
class _Plan:
    """A shape of filters, compiled.

    Attributes:
        compiled: The condition.
        read: The parameters that are read from each text, with the number of its value.
        constants: The values of those that are the same for each text of the shape.
    """

    compiled: Compiled
    read: tuple[tuple[Bound, int], ...]
    constants: dict[str, Any]


class Filters:
    """The filters of a resource.

    Args:
        schema: The resource.
        limits: How much a filter may ask for.
        shapes: How many shapes are kept; the one that was not asked for for the longest time is forgotten.
    """

    def __init__(self, schema: Schema, limits: Limits = DEFAULT, *, shapes: int = MOST_SHAPES) -> None:
        parser()  # now, and not when the first filter comes
        self._schema = schema
        self._limits = limits
        self._most = shapes
        self._plans: OrderedDict[str, _Plan] = OrderedDict()

    def __len__(self) -> int:
        """Return how many shapes are kept."""
        return len(self._plans)

    def read(self, text: str) -> tuple[Compiled, dict[str, Any]] | None:
        """Return a filter in SQL and the values of its bound parameters; None for one without any term.

        Args:
            text: The filter.

        Raises:
            FilterError: It is wrong, or asks for too much.
        """
        if not text or text.isspace():
            return None
        if len(text) > self._limits.length:
            raise too_long(self._limits)
        key, values = shape(text)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plan(key, text, {position: index for index, (_, position) in enumerate(values)})
        else:
            self._plans.move_to_end(key)
        parameters = dict(plan.constants)
        for bound, index in plan.read:
            raw, position = values[index]
            bound.put(raw, position, parameters)
        return plan.compiled, parameters

    def _plan(self, key: str, text: str, slots: dict[int, int]) -> _Plan:
        compiled = compile_condition(check(parse(text, self._limits), self._schema, self._limits))
        read, constants = [], dict[str, Any]()
        for bound in compiled.bounds:
            value = bound.operand.value
            assert isinstance(value, Literal)  # noqa: S101 - a parameter was refused
            if value.position in slots:
                read.append((bound, slots[value.position]))
            else:
                bound.put(value.raw, value.position, constants)
        plan = _Plan(compiled, tuple(read), constants)
        self._plans[key] = plan
        if len(self._plans) > self._most:
            self._plans.popitem(last=False)
        return plan
