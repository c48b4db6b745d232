"""The language of filters: what is well formed, what is refused and where, and how much may be asked for."""

import contextlib
from typing import Any

import pytest
from grpc import StatusCode
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tablestakes.filter import FilterError, Filters, Limits, parse
from tablestakes.filter.shape import shape
from tablestakes.filter.tree import And, Comparison, Expression, Literal, Not, Or, Parameter, Values, Word
from tests.filter.fields import FIELDS
from tests.filter.oracle import trees, write
from tests.filter.world import SCHEMAS

POSTS = Filters(SCHEMAS["Post"])
BOTH = [Filters(SCHEMAS[name], Limits(scans=100)) for name in ("Post", "Book")]
# Pieces of which filters are made, so that what is drawn is often nearly one.
PIECES = [*"ab.:=<>!\"'\\()*,-$ 0159TZ\x00\n%_é", " AND ", " OR ", "NOT ", "title", "state", "labels.", "name:*"]
NEARLY = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)

checked = settings(deadline=None, max_examples=100)


def plain(tree: Expression) -> Any:
    """Return a tree in the form in which the tests below write it."""
    found: Any
    match tree:
        case And(terms):
            found = ("and", *map(plain, terms))
        case Or(terms):
            found = ("or", *map(plain, terms))
        case Not(term):
            found = ("not", plain(term))
        case Word(value):
            found = value.raw
        case Comparison(member, operator, Values(values)):
            found = (str(member), operator, plain(values))
        case Comparison(member, operator, Literal(raw)):
            found = (str(member), operator, raw)
        case Comparison(member, operator, Parameter(name)):
            found = (str(member), operator, f"${name}")
    return found


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a AND b OR c", ("and", "a", ("or", "b", "c"))),
        ("a OR b AND c", ("and", ("or", "a", "b"), "c")),
        ("a b AND c AND d", ("and", "a", "b", "c", "d")),
        ("a b OR c", ("and", "a", ("or", "b", "c"))),
        ("(a AND b) OR c", ("or", ("and", "a", "b"), "c")),
        ("NOT a OR -b", ("or", ("not", "a"), ("not", "b"))),
        ('-file:".java"', ("not", ("file", ":", '".java"'))),
        ("-(a b)", ("not", ("and", "a", "b"))),
        ("foo >= -2.4", ("foo", ">=", "-2.4")),
        ("foo>=-2.4 AND bar=2.997e9", ("and", ("foo", ">=", "-2.4"), ("bar", "=", "2.997e9"))),
        ("t > 2012-04-21T11:30:00-04:00", ("t", ">", "2012-04-21T11:30:00-04:00")),
        ("a.b.c : *", ("a.b.c", ":", "*")),
        ("a.AND.OR = 1", ("a.AND.OR", "=", "1")),
        ('m."a key" = x', ("m.a key", "=", "x")),
        ("a = (B OR NOT C)", ("a", "=", ("or", "B", ("not", "C")))),
        ("a != $caller", ("a", "!=", "$caller")),
        ("ANDROID NOTE", ("and", "ANDROID", "NOTE")),
        (r'a = "x\"y" b = "\\"', ("and", ("a", "=", r'"x\"y"'), ("b", "=", r'"\\"'))),
        ("  \n a\t=\r b ", ("a", "=", "b")),
        ("", ("and",)),
        (" \n", ("and",)),
    ],
)
def test_a_filter_has_the_tree_of_the_grammar(text: str, tree: Any) -> None:
    """OR binds tighter than AND, a space binds as tightly, NOT and the dash are one, and spaces are nothing."""
    assert plain(parse(text)) == tree


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("<", 1, "a field or a value was expected"),
        ("a AND", 6, "and not the end"),
        ("AND a", 1, "a field or a value was expected"),
        ("a = OR", 5, "a value was expected"),
        ("a = b = c", 7, "and not"),
        ("(a", 3, "a closing parenthesis"),
        ("a)", 2, "and not"),
        ("(-2.5) >= -2.4", 8, "and not"),
        ('title = "x', 9, "a quote is not closed"),
        ("title = 'x\"", 9, "a quote is not closed"),
        ("f(x)", 1, "f is no function"),
        ("title = f(x)", 9, "f is no function"),
        ("auther = x", 1, "Post has no field auther; did you mean author?"),
        ("author.usernme = x", 8, "User has no field usernme; did you mean username?"),
        ("title.x = y", 7, "title has no fields"),
        ("tags.0 = x", 6, "Tag has no field 0"),
        ("title = x AND state = DRAF", 23, "DRAF is no value of State; did you mean DRAFT?"),
        ("state = draft", 9, "draft is no value"),
        ("state > DRAFT", 1, "state has no operator >"),
        ("tags = tags/x", 1, "tags:VALUE asks"),
        ("author > users/1", 1, "author has no operator >"),
        ("author = ann", 10, "must be of the form users/{user}"),
        ("author = users/ann", 10, "users/ann does not exist"),
        ("create_time > 5", 15, "a time with its zone"),
        ('create_time > "2022-08-12 22:22:22"', 15, "a time with its zone"),
        ('create_time > "2022-08-12T22:22:22"', 15, "a time with its zone"),
        ('create_time > "2022-02-30T22:22:22Z"', 15, "a time with its zone"),
        ("author.active = yes", 17, "true or false"),
        (r'title = "\x"', 10, r"\x is no escape"),
        (r'title = "\ud800"', 10, "is no character"),
        ('title = "a*b"', 9, "a wildcard stands at the front or at the end"),
        ('title < "a*"', 9, "a wildcard stands at the front or at the end"),
        ('title = "a\x00b"', 9, "NUL"),
        ("title", 1, "title is a field, and needs an operator"),
        ("title = (a OR state = DRAFT)", 15, "a value was expected"),
        ("title = $caller", 9, "$caller is no parameter"),
    ],
)
def test_an_error_has_its_place(text: str, position: int, said: str) -> None:
    """A wrong filter is INVALID_ARGUMENT, and says at which character it is wrong and what was expected."""
    with pytest.raises(FilterError) as caught:
        POSTS.read(text)
    assert said in str(caught.value)
    error = caught.value.status("filter")
    assert (error.code, caught.value.position) == (StatusCode.INVALID_ARGUMENT, position)
    assert [violation.field for violation in error.violations] == ["filter"]
    assert error.metadata["position"] == str(position)


@pytest.mark.parametrize(
    ("resource", "text"),
    [
        ("Gadget", "weight = 1.5"),
        ("Gadget", "weight = 9223372036854775808"),
        ("Gadget", "weight = 2147483648"),
        ("Gadget", "weight = 1e400"),
        ("Gadget", "weight = hello"),
        ("Gadget", 'weight = "5"'),
        ("Gadget", "ratio = 1e999"),
        ("Gadget", "ratio = NaN"),
        ("Gadget", "blob = x"),
        ("Gadget", "secret = x"),
        ("Gadget", "secret:*"),
        ("User", "password:*"),
        ("Book", "weight = 1.2345"),
        ("Book", "rating = 1e39"),
        ("Book", "loan_period = 5"),
        ("Book", "loan_period > 999999999999s"),
        ("Book", 'publish_date = "2026-02-30"'),
        ("Book", "price = 5"),
        ("Book", "attributes.x = 1"),
        ("Book", "labels = x"),
        ("Reader", "card = x"),
        ("Reader", 'card = ""'),
        ("Shelf", "size = x"),
        ("Shelf", "place.floor = 9223372036854775808"),
        ("Shelf", "place.hall = x"),
    ],
)
def test_a_value_must_be_of_its_fields_type(resource: str, text: str) -> None:
    """A value that a field's type or its column cannot have is refused, and a field that nobody may read."""
    with pytest.raises(FilterError):
        Filters(SCHEMAS[resource]).read(text)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("FILTER_ESCAPE", r'title = "\x"'),
        ("FILTER_FUNCTION", "f(title)"),
        ("FILTER_OPERATOR", "state > DRAFT"),
        ("FILTER_PARAMETER", "title = $caller"),
        ("FILTER_SCAN", "title:a title:b content:c content:d title:e"),
        ("FILTER_SYNTAX", "title ="),
        ("FILTER_TOO_DEEP", "(" * 20 + "title = a" + ")" * 20),
        ("FILTER_TOO_LARGE", "title = a " * 200),
        ("FILTER_TOO_LONG", "title = " + "a" * 5000),
        ("FILTER_UNKNOWN_FIELD", "titel = a"),
        ("FILTER_VALUE", "create_time > 5"),
        ("FILTER_WILDCARD", 'title = "a*b"'),
    ],
)
def test_an_error_has_its_reason(reason: str, text: str) -> None:
    """A program learns from the reason of the field's violation why a filter was refused."""
    with pytest.raises(FilterError) as caught:
        POSTS.read(text)
    assert [each.reason for each in caught.value.status("filter").violations] == [reason]


def test_reasons_of_what_a_service_does_not_take() -> None:
    """A message cannot be compared, and a field without an index only where the service takes such filters."""
    for filters, text, reason in (
        (Filters(SCHEMAS["Book"]), "price = 5", "FILTER_TYPE"),
        (Filters(SCHEMAS["Post"], Limits(unindexed=False)), "title = a", "FILTER_UNINDEXED"),
    ):
        with pytest.raises(FilterError) as caught:
            filters.read(text)
        assert caught.value.reason == reason


@checked
@given(st.one_of(NEARLY, st.text(), st.binary().map(lambda raw: raw.decode(errors="replace"))))
@example("a" * 5000)
@example("(" * 4000)
@example('"' + '\\"' * 2000)
@example("NOT " * 1000 + "a")
@example("-" * 4000)
@example("a = " + "9" * 4000)
@example("a." * 2000 + "b:*")
@example(" OR ".join(["name:*"] * 500))
@example('title = "' + "*" * 3000 + '"')
def test_any_text_is_a_filter_or_an_error(text: str) -> None:
    """No text does anything but mean something or be refused: what is raised is a FilterError."""
    for filters in BOTH:
        # Anything else that is raised fails the test.
        with contextlib.suppress(FilterError):
            filters.read(text)


@pytest.mark.parametrize("resource", FIELDS)
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_filters_of_one_shape_are_one_statement(resource: str, data: st.DataObject) -> None:
    """The shape of a filter is a filter of the same shape, with as many values, and says nothing of the values."""
    text = write(data.draw(trees(FIELDS[resource])))
    found, values = shape(text)
    again, same = shape(found)
    assert (again, len(same)) == (found, len(values))
    assert [text[place : place + len(raw)] for raw, place in values] == [raw for raw, _ in values]


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Limits(length=10), "title = abcd"),
        (Limits(depth=2), "(((title = a)))"),
        (Limits(depth=2), "NOT (NOT (title = a))"),
        (Limits(terms=2), "title = a title = b title = c"),
        (Limits(terms=2), "title = (a OR b OR c)"),
        (Limits(scans=1), "title:a title:b"),
        (Limits(scans=1), 'title = "*a" word'),
        (Limits(unindexed=False), "title = a"),
        (Limits(unindexed=False), "author.full_name = a"),
        (Limits(unindexed=False), 'author.username = "*a"'),
        (Limits(unindexed=False), "author.username:a"),
        (Limits(unindexed=False), "word"),
    ],
)
def test_a_filter_may_ask_for_so_much(limits: Limits, text: str) -> None:
    """A filter that is longer, deeper or larger than the limits, or needs a scan where none may be, is refused."""
    assert Filters(SCHEMAS["Post"]).read(text) is not None
    with pytest.raises(FilterError):
        Filters(SCHEMAS["Post"], limits).read(text)


@pytest.mark.parametrize(
    "text", ["author = users/1", "author.username = ann", 'author.username = "a*"', "tags:tags/x", "name = posts/1"]
)
def test_what_an_index_serves_is_always_taken(text: str) -> None:
    """Where fields without an index are refused, those with one are taken, on each step of the path."""
    assert Filters(SCHEMAS["Post"], Limits(unindexed=False)).read(text) is not None


def test_a_thousand_values_are_one_shape() -> None:
    """Filters that differ in their values alone are compiled once, and each has values of its own."""
    filters = Filters(SCHEMAS["Post"])
    found = [filters.read(f'title = "{number}" AND author = users/{number}') for number in range(1000)]
    assert len({id(each[0]) for each in found if each}) == 1
    assert [each[1] for each in found if each] == [
        {"filter_0": str(number), "filter_1": number} for number in range(1000)
    ]
    assert len(filters) == 1


def test_shapes_that_are_not_asked_for_are_forgotten() -> None:
    """However many shapes are asked for, so many are kept, and the one that is asked for again is kept."""
    filters = Filters(SCHEMAS["Post"], shapes=50)
    first = filters.read("title = x")
    for number in range(500):
        filters.read(f"title = x OR word{number}")
        assert filters.read("title = y") is not None
    assert len(filters) == 50
    again = filters.read("title = x")
    assert first is not None
    assert again is not None
    assert again[0] is first[0]


def test_the_constants_of_a_shape_are_its_own() -> None:
    """A word without quotes is a part of the shape: two of them are two filters with values of their own."""
    found = [POSTS.read(text) for text in ("jazz", "rock", 'title = x AND "jazz"', 'title = x AND "rock"')]
    assert [each[1] for each in found if each] == [
        {"filter_0": "jazz"},
        {"filter_0": "rock"},
        {"filter_0": "x", "filter_1": "jazz"},
        {"filter_0": "x", "filter_1": "rock"},
    ]
