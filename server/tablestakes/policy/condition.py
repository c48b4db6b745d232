"""The conditions of row policies: filters (AIP-160) with attributes of the caller as parameters."""

from collections.abc import Collection, Iterator, Mapping

from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.row_policy import EVERY_ROW
from tablestakes.crud.schema.schema import Schema
from tablestakes.filter import FilterError, Limits, check, parse
from tablestakes.filter.checked import All, Condition, Negation, Operand, Restriction, Some
from tablestakes.filter.compile import written
from tablestakes.filter.tree import Parameter

CALLER = "caller."
"""How the names of the attributes begin: `$caller.subject`."""

EVERY = All(())
NONE = Some(())

# Policies are the service's own: they may be as large as its author likes, and ask for fields without an index.
_LIMITS = Limits(scans=100, terms=1000)


class _Attributes(Collection[str]):
    """The parameters of a policy: any attribute of the caller, for they come from its token."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.startswith(CALLER) and len(name) > len(CALLER)

    def __iter__(self) -> Iterator[str]:
        return iter([f"{CALLER}subject"])

    def __len__(self) -> int:
        return 1


def read_condition(text: str, schema: Schema, role: str) -> Condition:
    """Return the condition of a policy.

    Args:
        text: The filter; EVERY_ROW for all rows, "" for none.
        schema: The resource.
        role: Whose policy it is, for errors.

    Raises:
        DeclarationError: It is no filter of the resource.
    """
    if not text.strip():
        return NONE
    if text.strip() == EVERY_ROW:
        return EVERY
    try:
        return check(parse(text, _LIMITS), schema, _LIMITS, _Attributes())
    except FilterError as error:
        name = schema.descriptor.full_name
        raise DeclarationError(f"{name}: the row policy {text!r} of {role} {error}") from None


def operands(condition: Condition) -> Iterator[Operand]:
    """Yield the operands of a condition that are attributes of the caller."""
    match condition:
        case All(terms) | Some(terms):
            for term in terms:
                yield from operands(term)
        case Negation(term):
            yield from operands(term)
        case Restriction(test=test):
            operand = getattr(test, "operand", None)
            if operand is not None and isinstance(operand.value, Parameter):
                yield operand


def has_value(operand: Operand, attributes: Mapping[str, str]) -> bool:
    """Return whether a caller's attributes have a value for an operand, and its field can have that value."""
    assert isinstance(operand.value, Parameter)  # noqa: S101 - `operands` yields no others
    value = attributes.get(operand.value.name)
    if value is None:
        return False
    try:
        operand.read(written(value), 0)
    except FilterError:
        return False
    return True


def without(condition: Condition, absent: Collection[Operand], *, negated: bool = False) -> Condition:
    """Return a condition whose terms with absent operands are true of no row, even below a NOT.

    Args:
        condition: The condition.
        absent: The operands for which the caller has no value.
        negated: Whether the opposite of the condition is wanted.
    """
    match condition:
        case Negation(term):
            return without(term, absent, negated=not negated)
        case All(terms) | Some(terms):
            below = tuple(without(term, absent, negated=negated) for term in terms)
            return All(below) if isinstance(condition, All) is not negated else Some(below)
        case Restriction(test=test):
            if getattr(test, "operand", None) in absent:
                return NONE
            return Negation(condition) if negated else condition


def simplified(conditions: Collection[Condition]) -> Condition:
    """Return the condition that is true where one of several is."""
    return EVERY if EVERY in conditions else Some(tuple(each for each in conditions if each != NONE))
