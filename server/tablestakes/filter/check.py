"""Checking a filter against a resource: which fields its terms are about, and whether their values fit."""

from collections.abc import Callable, Collection
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from sqlalchemy import BigInteger, Boolean, Double, Enum, String, Uuid
from sqlalchemy.types import TypeEngine

from tablestakes.crud.declaration import likely
from tablestakes.crud.schema.codec import plain
from tablestakes.crud.schema.field import Field, NestedField
from tablestakes.crud.schema.item_list import ItemList
from tablestakes.crud.schema.path import Path, PathError, resolve
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.shape import map_entry
from tablestakes.errors import StatusError
from tablestakes.filter.checked import (
    All,
    Compare,
    Condition,
    HasKey,
    Match,
    Named,
    Negation,
    Operand,
    Present,
    Restriction,
    Some,
    Test,
)
from tablestakes.filter.error import FilterError
from tablestakes.filter.kind import IDENTIFIER, TEXT, Kind, Read, kind_of, read_double
from tablestakes.filter.lexicon import between_wildcards, literal, wildcards
from tablestakes.filter.limits import Limits
from tablestakes.filter.parse import DEFAULT
from tablestakes.filter.tree import (
    And,
    Comparison,
    Expression,
    Literal,
    Member,
    Not,
    Operator,
    Or,
    Parameter,
    Value,
    Values,
    Word,
)

ANY = "*"

MOST_INT64 = 2**63 - 1

ToColumn: TypeAlias = Callable[[Any, str], Any]


def check(
    tree: Expression, schema: Schema, limits: Limits = DEFAULT, parameters: Collection[str] = frozenset()
) -> Condition:
    """Return what a filter asks of a resource.

    Values are not read yet: one shape of a filter is checked once, whatever its values are.

    Args:
        tree: The filter.
        schema: The resource.
        limits: How much it may ask for.
        parameters: The names of the parameters that it may have.

    Raises:
        FilterError: It asks for a field that there is not, for what the field's type cannot be asked, or for more
            than the limits allow.
    """
    return _Check(schema, limits, parameters).expression(tree)


class _Check:
    """One check.

    Args:
        schema: The resource.
        limits: How much the filter may ask for.
        parameters: The names of the parameters that it may have.
    """

    def __init__(self, schema: Schema, limits: Limits, parameters: Collection[str]) -> None:
        self._schema = schema
        self._limits = limits
        self._parameters = parameters
        self._scans = 0

    def expression(self, tree: Expression) -> Condition:
        """Return what an expression asks for."""
        match tree:
            case And(terms):
                return All(tuple(map(self.expression, terms)))
            case Or(terms):
                return Some(tuple(map(self.expression, terms)))
            case Not(term):
                return Negation(self.expression(term))
            case Word(value):
                return self._word(value)
            case Comparison(member, operator, value):
                return self._comparison(member, operator, value)

    def _comparison(self, member: Member, operator: Operator, value: Value | Values) -> Condition:
        path = self._resolve(member)
        if not self._limits.unindexed and not path.indexed:
            raise self._unindexed(member)
        if isinstance(value, Values):
            return self._values(member, path, operator, value.expression)
        return self._restriction(member, path, operator, value)

    def _values(self, member: Member, path: Path, operator: Operator, values: Expression) -> Condition:
        """Return the terms of a field with each of several values."""
        match values:
            case And(terms):
                return All(tuple(self._values(member, path, operator, term) for term in terms))
            case Or(terms):
                return Some(tuple(self._values(member, path, operator, term) for term in terms))
            case Not(term):
                return Negation(self._values(member, path, operator, term))
            case Word(value):
                return self._restriction(member, path, operator, value)
            case Comparison(inner):
                raise FilterError(
                    f"a value was expected, and not the comparison of {inner}.",
                    inner.places[0] + 1,
                    "FILTER_SYNTAX",
                    {"expected": "a value"},
                )

    def _resolve(self, member: Member) -> Path:
        try:
            return resolve(self._schema, member.steps)
        except PathError as error:
            step, place = member.steps[error.index], member.places[error.index] + 1
            if not error.choices:
                raise FilterError(
                    f"{'.'.join(member.steps[: error.index])} has no fields that can be named, and so no {step}.",
                    place,
                    "FILTER_UNKNOWN_FIELD",
                    {"path": str(member)},
                ) from None
            raise FilterError(
                f"{error.owner} has no field {step}; {likely(step, error.choices)}",
                place,
                "FILTER_UNKNOWN_FIELD",
                {"path": str(member), "expected": ", ".join(sorted(error.choices))},
            ) from None

    def _restriction(self, member: Member, path: Path, operator: Operator, value: Value) -> Restriction:
        if isinstance(value, Parameter) and value.name not in self._parameters:
            known = f"; {likely(value.name, self._parameters)}" if self._parameters else ": there are none"
            problem, place = f"${value.name} is no parameter{known}", value.position + 1
            raise FilterError(problem, place, "FILTER_PARAMETER", {"path": str(member)})
        if operator == ":" and isinstance(value, Literal) and value.raw == ANY:
            return Restriction(path, Present(_zero(path)))
        return Restriction(path, self._test(member, path, operator, value), _absent(path))

    def _test(self, member: Member, path: Path, operator: Operator, value: Value) -> Test:
        if path.names is not None:
            self._require_operator(member, operator, IDENTIFIER)
            return Named(Operand(value, _name_reader(path)), differs=operator == "!=")
        if map_entry(path.field) is not None:
            if operator != ":":
                hint = f"{member}:KEY asks for a key, and {member}.KEY = VALUE for its value"
                raise self._no_operator(member, operator, hint)
            return HasKey(Operand(value, _checked(literal, _no_nul)))
        kind = self._kind(member, path, value)
        if path.field.is_repeated and operator != ":":
            raise self._no_operator(member, operator, f"{member}:VALUE asks for one of its values")
        self._require_operator(member, operator, kind)
        if kind.is_text:
            return self._text(member, path, operator, value)
        compared: Operator = "=" if operator == ":" else operator
        return Compare(compared, Operand(value, _reader(path, kind)), _type(path))

    def _text(self, member: Member, path: Path, operator: Operator, value: Value) -> Test:
        """Return the test of a text, which may be looked into."""
        if operator in ("<", "<=", ">", ">="):
            return Compare(operator, Operand(value, _reader(path, TEXT)), _type(path), bytewise=True)
        front, end = wildcards(value.raw) if isinstance(value, Literal) else (False, False)
        # `r.foo:42` asks AIP-160 for an element whose foo is 42, and not for one that has 42 in it.
        if operator == ":" and not (front or end or path.nested or path.field.is_repeated):
            self._scan(member.places[0])
            return Match(Operand(value, _checked(_strip, _no_nul)), _type(path), front=True, end=True)
        if front or end:
            if front:
                self._scan(member.places[0])
            operand = Operand(value, _checked(_strip, _no_nul))
            return Match(operand, _type(path), front=front, end=end, differs=operator == "!=")
        compared: Operator = "=" if operator == ":" else operator
        return Compare(compared, Operand(value, _reader(path, TEXT)), _type(path))

    def _kind(self, member: Member, path: Path, value: Value) -> Kind:
        """Return the type of a field that values are compared with."""
        if path.reference is not None:
            return IDENTIFIER
        message = path.field.message_type
        kind = kind_of(path.field)
        if kind is None or (path.document is not None and not _in_json(path.field)):
            kept = path.part.fields if isinstance(path.part, NestedField | ItemList) else ()
            known = [field.name for field in message.fields] if message and path.document else list(kept)
            hint = f"; it has {', '.join(known)}" if known else ""
            raise FilterError(
                f"{member} cannot be compared{hint}: {member}:* asks whether it is there.",
                value.position + 1,
                "FILTER_TYPE",
                {"path": str(member)},
            )
        column = path.column
        if kind.is_text and column is not None and path.document is None:
            bare = plain(column.type)
            if isinstance(bare, Enum | Uuid) or bare.python_type is not str:
                return IDENTIFIER
        return kind

    def _require_operator(self, member: Member, operator: Operator, kind: Kind) -> None:
        if operator not in kind.operators:
            raise self._no_operator(member, operator, f"there are {' '.join(sorted(kind.operators))}")

    @staticmethod
    def _no_operator(member: Member, operator: Operator, hint: str) -> FilterError:
        return FilterError(
            f"{member} has no operator {operator}; {hint}.",
            member.places[0] + 1,
            "FILTER_OPERATOR",
            {"path": str(member)},
        )

    def _scan(self, place: int) -> None:
        """Count a term that looks into text."""
        self._scans += 1
        if not self._limits.unindexed:
            raise FilterError(
                "texts are not looked into here: = and a wildcard at the end of a text are possible.",
                place + 1,
                "FILTER_SCAN",
            )
        if self._scans > self._limits.scans:
            most = self._limits.scans
            raise FilterError(
                f"at most {most} terms may look into texts: with a wildcard at the front, `:` on a text, or a word"
                " by itself.",
                place + 1,
                "FILTER_SCAN",
                {"limit": str(most)},
            )

    @staticmethod
    def _unindexed(member: Member) -> FilterError:
        return FilterError(
            f"{member} has no index, and only fields that have one are filtered by here.",
            member.places[0] + 1,
            "FILTER_UNINDEXED",
            {"path": str(member)},
        )

    def _word(self, value: Literal) -> Condition:
        """Return what a value by itself asks for: a field that is true, or a text of the resource that has it."""
        if not value.quoted and (found := self._flag(value)) is not None:
            return found
        self._scan(value.position)
        front, end = wildcards(value.raw)
        if not front and not end:
            front = end = True
        paths = [resolve(self._schema, (name,)) for name in searched(self._schema)]
        if not paths:
            name = self._schema.descriptor.name
            raise FilterError(f"{name} has no text to look into.", value.position + 1, "FILTER_SCAN")
        read = _checked(_strip, _no_nul)
        return Some(tuple(_looked_for(path, Operand(value, read), front=front, end=end) for path in paths))

    def _flag(self, value: Literal) -> Condition | None:
        """Return the term of a field that is true or false; None where the word is no field."""
        steps = tuple(value.raw.split("."))
        try:
            path = resolve(self._schema, steps)
        except PathError:
            return None
        member = Member(steps, (value.position,) * len(steps))
        if path.field.type != FieldDescriptor.TYPE_BOOL or path.field.is_repeated:
            raise FilterError(
                f"{member} is a field, and needs an operator and a value; as a word it is put in quotes.",
                value.position + 1,
                "FILTER_OPERATOR",
                {"path": str(member)},
            )
        return self._comparison(member, "=", Literal("true", value.position))


def _looked_for(path: Path, operand: Operand, *, front: bool, end: bool) -> Restriction:
    return Restriction(path, Match(operand, _type(path), front, end), _absent(path))


def searched(schema: Schema) -> list[str]:
    """Return the names of the fields that a word by itself is looked for in: the texts that are cheap to read."""
    cheap = set(schema.basic.columns)
    return [
        field.name
        for field in schema.fields.values()
        if isinstance(field, Field)
        and field.readable
        and field.reference is None
        and field.column in cheap
        and schema.descriptor.fields_by_name[field.name].type == FieldDescriptor.TYPE_STRING
        and not schema.descriptor.fields_by_name[field.name].is_repeated
        and isinstance(plain(field.column.type), String)
        and not isinstance(plain(field.column.type), Enum)
    ]


def _strip(raw: str, position: int) -> str:
    return between_wildcards(raw, position)


def _no_nul(value: str, _: str) -> str:
    if "\x00" in value:
        raise ValueError
    return value


def _checked(read: Read, to_column: ToColumn | None) -> Read:
    """Return what reads a value as its column keeps it."""
    if to_column is None:
        return read

    def checked(raw: str, position: int) -> Any:
        value = read(raw, position)
        try:
            return to_column(value, "")
        except StatusError as error:
            said = f"{raw} {error.violations[0].description}" if error.violations else error.message
            raise FilterError(said, position + 1, "FILTER_VALUE") from None
        except ValueError:
            raise FilterError("no text has a NUL character.", position + 1, "FILTER_VALUE") from None

    return checked


def _reader(path: Path, kind: Kind) -> Read:
    """Return what reads a value that is compared with a field."""
    if path.reference is not None:
        reference = path.reference
        return _checked(literal, lambda name, at: _id(reference.names.parse(name, at)))
    if path.document is not None:
        # Below a message JSON has what was written: 4.1, and not what 32 bits keep of it.
        exact = bool(path.document.names) and path.field.type == FieldDescriptor.TYPE_FLOAT
        return _checked(read_double if exact else kind.read, _json_writer(path))
    assert isinstance(path.part, Field)  # noqa: S101 - a name list has a reference, and a map is no value
    read = kind.read
    if kind is IDENTIFIER:
        read = _nonempty(path)
    return _checked(read, path.part.codec.to_column)


def _id(key: tuple[Any, ...]) -> Any:
    (id_,) = key
    return id_


def _nonempty(path: Path) -> Read:
    problem = f"there is nothing empty to compare with: NOT {path.field.name}:* asks for what is not there."

    def read(raw: str, position: int) -> str:
        if not (text := literal(raw, position)):
            raise FilterError(problem, position + 1, "FILTER_VALUE")
        return text

    return read


def _name_reader(path: Path) -> Read:
    names = path.names
    assert names is not None  # noqa: S101 - it is for names
    if len(names.columns) == 1:
        return _checked(literal, lambda name, at: _id(names.parse(name, at)))
    return _checked(literal, names.parse)


def _in_json(field: FieldDescriptor) -> bool:
    """Return whether a field's value in JSON can be compared: messages have forms of their own there."""
    return field.message_type is None and field.type != FieldDescriptor.TYPE_BYTES


def _json_writer(path: Path) -> ToColumn | None:
    """Return how a value is kept in JSON, as far as it is not kept as it is."""
    field = path.field
    if field.enum_type is not None:
        choices = field.enum_type
        return lambda number, _: choices.values_by_number[number].name
    if field.type == FieldDescriptor.TYPE_STRING:
        return _no_nul
    if _type(path).python_type is int:
        return _require_int64
    return None


def _require_int64(number: int, _: str) -> int:
    if number > MOST_INT64:
        raise FilterError(f"{number} is greater than {MOST_INT64}.", None, "FILTER_VALUE")
    return number


def _type(path: Path) -> TypeEngine[Any]:
    """Return the type of a parameter that is compared with a field."""
    if path.document is None:
        column = path.column
        assert column is not None  # noqa: S101 - only such fields are compared
        return column.type
    match path.field.type:
        case FieldDescriptor.TYPE_BOOL:
            return Boolean()
        case FieldDescriptor.TYPE_DOUBLE | FieldDescriptor.TYPE_FLOAT:
            return Double()
        case FieldDescriptor.TYPE_STRING | FieldDescriptor.TYPE_ENUM:
            return String()
    return BigInteger()


def _absent(path: Path) -> Any:
    """Return the value of a column that NULL stands for; None where NULL says that there is no value."""
    nullable = isinstance(path.part, Field) and path.part.column.nullable and not path.unset
    return _zero(path) if nullable else None


def _zero(path: Path) -> Any:
    """Return the value of a column that says "not set" for a field without presence; None where only NULL does."""
    field, part = path.field, path.part
    if not isinstance(part, Field) or part.optional or part.reference or path.document or field.is_repeated:
        return None
    value: Any = field.default_value
    if part.codec.to_column is None:
        return value
    try:
        return part.codec.to_column(value, "")
    except StatusError:
        # A UUID, an enum whose column has no room for zero: only NULL is no value.
        return None
