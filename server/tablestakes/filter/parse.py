"""From the text of a filter to its tree, by the grammar of AIP-160."""

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple, NoReturn, cast

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from tablestakes.filter.error import FilterError
from tablestakes.filter.lexicon import BARE, CALL, CHARACTER, MEMBER, PARAMETER, STRING, steps
from tablestakes.filter.limits import Limits
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

# OR binds tighter than AND, and terms with only a space between them bind tighter than both sides of an AND.
GRAMMAR = rf"""
?start: expression
?expression: sequence
           | sequence (_AND sequence)+ -> all_of
?sequence: factor
         | factor factor+ -> all_of
?factor: term
       | term (_OR term)+ -> any_of
?term: simple
     | (_NOT | _MINUS) simple -> negation
?simple: restriction
       | _LPAR expression _RPAR -> composite
?restriction: MEMBER OPERATOR arg -> comparison
            | (MEMBER | STRING) -> word
            | CALL
?arg: (STRING | BARE | CALL) -> literal
    | PARAMETER -> parameter
    | _LPAR expression _RPAR -> values

_AND.3: /AND(?!{CHARACTER})/
_OR.3: /OR(?!{CHARACTER})/
_NOT.3: /NOT(?!{CHARACTER})/
_MINUS: /-(?!\.?[0-9])/
_LPAR: "("
_RPAR: ")"
OPERATOR: "<=" | ">=" | "!=" | "<" | ">" | "=" | ":"
CALL.4: /{CALL}/
PARAMETER.2: /{PARAMETER}/
STRING: /{STRING}/
BARE: /{BARE}/
MEMBER: /{MEMBER}/
%ignore /\s+/
"""

EXPECTED = {
    "MEMBER": "a field",
    "STRING": "a value",
    "BARE": "a value",
    "PARAMETER": "a value",
    "OPERATOR": "an operator",
    "_AND": "AND",
    "_OR": "OR",
    "_RPAR": "a closing parenthesis",
    "$END": "the end",
}

DEFAULT = Limits()


class _Part(NamedTuple):
    """A part of the tree.

    Attributes:
        node: Its top.
        depth: How many parentheses and negations it has inside each other.
        terms: How many comparisons and words it has.
    """

    node: Any
    depth: int = 0
    terms: int = 0


class _Build(Transformer[Token, _Part]):
    """Builds the tree as the parser goes, so that no depth of a filter is a depth of Python's stack."""

    def __init__(self) -> None:
        super().__init__(visit_tokens=False)

    def all_of(self, parts: list[_Part]) -> _Part:
        return _joined(And, parts)

    def any_of(self, parts: list[_Part]) -> _Part:
        return _joined(Or, parts)

    def negation(self, parts: list[_Part]) -> _Part:
        ((node, depth, terms),) = parts
        return _Part(Not(node), depth + 1, terms)

    def composite(self, parts: list[_Part]) -> _Part:
        ((node, depth, terms),) = parts
        return _Part(node, depth + 1, terms)

    def values(self, parts: list[_Part]) -> _Part:
        ((node, depth, terms),) = parts
        return _Part(Values(node), depth + 1, terms)

    def comparison(self, parts: list[Any]) -> _Part:
        member, operator, value = parts
        names, places = steps(member, member.start_pos)
        node = Comparison(Member(names, places), cast(Operator, str(operator)), value.node)
        return _Part(node, value.depth, max(value.terms, 1))

    def word(self, parts: list[Token]) -> _Part:
        return _Part(Word(_literal(parts[0])), 0, 1)

    def literal(self, parts: list[Token]) -> _Part:
        return _Part(_literal(parts[0]))

    def parameter(self, parts: list[Token]) -> _Part:
        node: Value = Parameter(parts[0][1:], parts[0].start_pos or 0)
        return _Part(node)


def _joined(kind: type[And] | type[Or], parts: Iterable[_Part]) -> _Part:
    nodes: list[Any] = []
    depth = terms = 0
    for node, deep, many in parts:
        if isinstance(node, kind):
            nodes += node.terms
        else:
            nodes.append(node)
        depth = max(depth, deep)
        terms += many
    return _Part(kind(tuple(nodes)), depth, terms)


def _literal(token: Token) -> Literal:
    return Literal(str(token), token.start_pos or 0)


def _refuse_call(token: Token) -> NoReturn:
    raise FilterError(
        f"{token[:-1]} is no function; there are none.", (token.start_pos or 0) + 1, "FILTER_FUNCTION"
    )


@cache
def parser() -> Lark:
    """Return the parser of filters. Making it takes some hundredths of a second, in which no request is to wait."""
    return Lark(
        GRAMMAR,
        parser="lalr",
        transformer=_Build(),
        maybe_placeholders=False,
        propagate_positions=False,
        lexer_callbacks={"CALL": _refuse_call},
    )


def parse(text: str, limits: Limits = DEFAULT) -> Expression:
    """Return the tree of a filter.

    Args:
        text: The filter; an empty one, or one of spaces alone, is true of everything.
        limits: How much it may ask for.

    Raises:
        FilterError: It is not well formed, or larger than the limits.
    """
    if len(text) > limits.length:
        raise too_long(limits)
    if not text or text.isspace():
        return And(())
    try:
        part = cast(_Part, parser().parse(text))
    except UnexpectedInput as error:
        raise _syntax(text, error) from None
    if part.depth > limits.depth:
        raise FilterError(
            f"must have at most {limits.depth} parentheses and negations inside each other.",
            None,
            "FILTER_TOO_DEEP",
            {"limit": str(limits.depth)},
        )
    if part.terms > limits.terms:
        raise FilterError(
            f"must have at most {limits.terms} comparisons.", None, "FILTER_TOO_LARGE", {"limit": str(limits.terms)}
        )
    return cast(Expression, part.node)


def too_long(limits: Limits) -> FilterError:
    """Return the error of a filter with too many characters."""
    most = limits.length
    return FilterError(f"must have at most {most} characters.", None, "FILTER_TOO_LONG", {"limit": str(most)})


def _syntax(text: str, error: UnexpectedInput) -> FilterError:
    place = error.pos_in_stream
    names: Iterable[str] = ()
    if isinstance(error, UnexpectedToken):
        names = error.accepts or error.expected
        if error.token.type == "$END":
            place = len(text)
    elif isinstance(error, UnexpectedCharacters):
        names = error.allowed or ()
    if place is None or not 0 <= place < len(text):
        place = len(text)
    found = f'"{text[place]}"' if place < len(text) else "the end"
    if place < len(text) and text[place] in "\"'":
        return FilterError("a quote is not closed.", place + 1, "FILTER_SYNTAX", {"expected": "a closing quote"})
    expected = " or ".join(dict.fromkeys(EXPECTED[name] for name in sorted(names) if name in EXPECTED))
    problem = f"{expected} was expected, and not {found}." if expected else f"{found} is not possible here."
    return FilterError(problem, place + 1, "FILTER_SYNTAX", {"expected": expected} if expected else {})
