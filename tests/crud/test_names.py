"""Resource names: properties of every name and of every pattern."""

import string

import pytest
from grpc import StatusCode
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Column, MetaData, String, Table

from tablestakes.crud.key import ANY_ID, Key
from tablestakes.crud.schema.name import MAX_SERIAL, Names
from tablestakes.errors import StatusError
from tests.crud.invalid_argument import rejected

POSTS = Table("posts", MetaData(), Column("id", BigInteger, primary_key=True), Column("user_id", BigInteger))
LABELS = Table("labels", MetaData(), Column("id", String, primary_key=True))

USER = Names("users/{user}", (POSTS.c.id,))
POST = Names("users/{user}/posts/{post}", (POSTS.c.user_id, POSTS.c.id))
LABEL = Names("labels/{label}", (LABELS.c.id,))

KEY = string.ascii_letters + string.digits + string.punctuation.replace("/", "")
SERIALS = st.integers(0, MAX_SERIAL)
# Text that is almost a name is likelier to be taken for one than any other text.
NEARLY = st.lists(
    st.sampled_from(
        ["users", "posts", "labels", "/", "7", "0", "12", "{user}", "%s", "-", "+", " ", "\n", "٣", "."]
    ),
    max_size=8,
).map("".join)
TEXT = st.text() | NEARLY
# Without lower-case letters nothing in braces is a variable.
LITERALS = st.text(".*+?()[]{}|^$\\%&~#-_:=!<>,@'\"0129ABSZ", min_size=1, max_size=12)

checked = settings(deadline=None, max_examples=200)


@checked
@given(SERIALS)
@example(0)
@example(MAX_SERIAL)
def test_a_name_leads_back_to_its_row(serial: int) -> None:
    """The name of an id, parsed, is that id."""
    assert USER.parse(USER.format((serial,)), "name") == (serial,)


@checked
@given(SERIALS, SERIALS)
def test_a_name_below_a_parent_leads_back_to_both(parent: int, serial: int) -> None:
    """The name of a parent's id and one's own, parsed, is these two, each for its column."""
    assert POST.parse(POST.format((parent, serial)), "name") == (parent, serial)


@checked
@given(st.text(KEY, min_size=1))
def test_an_id_of_text_leads_back_to_its_row(key: str) -> None:
    """The name of an id that is text, parsed, is that text."""
    assert LABEL.parse(LABEL.format((key,)), "name") == (key,)


@checked
@given(TEXT, st.sampled_from([USER, POST, LABEL]))
@example("users/7\n", USER)
@example("users/07", USER)
@example("users/٣", USER)
def test_a_row_has_one_name(text: str, names: Names) -> None:
    """Text that parses is to the letter the name of what it parses to, and any other text is refused."""
    try:
        key = names.parse(text, "name")
    except StatusError as error:
        assert error.code in {StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND}  # noqa: PT017 - both are answers
    else:
        assert names.format(key) == text


@checked
@given(TEXT, st.sampled_from(["name", "user.name", "parent"]))
def test_another_pattern_is_refused_by_its_path(text: str, path: str) -> None:
    """Text without the pattern's literals or with more steps than it has is INVALID_ARGUMENT on its path."""
    assume(not (text.startswith("users/") and text.count("/") == 1))
    error = rejected(path, USER.parse, text, path)
    assert error.message == f"{path}: must be of the form users/{{user}}."


@checked
@given(SERIALS, st.text(min_size=1))
def test_nothing_may_stand_around_a_name(serial: int, around: str) -> None:
    """Text with anything before a name, or with a further step after it, is refused."""
    name = USER.format((serial,))
    for text in (around + name, f"{name}/{around}", f"{name}/", f"{name}\n"):
        rejected("name", USER.parse, text, "name")


@checked
@given(st.integers(MAX_SERIAL + 1, 10**40) | st.integers(-(10**20), -1))
@example(MAX_SERIAL + 1)
@example(10**19)
def test_an_id_that_no_serial_can_be_is_not_found(number: int) -> None:
    """A number below 0 or above the greatest serial is NOT_FOUND, and the error has the name."""
    with pytest.raises(StatusError) as caught:
        USER.parse(f"users/{number}", "name")
    assert caught.value.code is StatusCode.NOT_FOUND
    assert caught.value.metadata == {"resource": f"users/{number}"}


@checked
@given(st.text(KEY, max_size=5), st.text(KEY, max_size=5))
def test_an_id_of_text_with_a_nul_is_not_found(before: str, after: str) -> None:
    """An id of text with a NUL, which no column keeps, is NOT_FOUND, and the error has the name."""
    name = f"labels/{before}\0{after}"
    with pytest.raises(StatusError) as caught:
        LABEL.parse(name, "name")
    assert caught.value.code is StatusCode.NOT_FOUND
    assert caught.value.metadata == {"resource": name}


@checked
@given(SERIALS, st.integers(1, 30))
def test_leading_zeros_are_not_found(serial: int, zeros: int) -> None:
    """An id with zeros before it is NOT_FOUND: it would be a second name of the same row."""
    with pytest.raises(StatusError) as caught:
        USER.parse(f"users/{'0' * zeros}{serial}", "name")
    assert caught.value.code is StatusCode.NOT_FOUND


@checked
@given(LITERALS, LITERALS, SERIALS)
@example("a.c", "abc", 7)
@example("%s", "7", 7)
@example("100%", "100%%", 7)
@example("A|B", "A", 7)
@example("", "x", 7)
def test_a_pattern_says_what_it_says(literal: str, other: str, serial: int) -> None:
    """Text outside a pattern's braces matches only itself, also where it has a meaning in a regular expression."""
    names = Names(f"{literal}/{{user}}/{literal}/{{post}}", (POSTS.c.user_id, POSTS.c.id))
    name = names.format((serial, serial))
    assert name == f"{literal}/{serial}/{literal}/{serial}"
    assert names.parse(name, "name") == (serial, serial)
    assume(literal != other)
    rejected("name", names.parse, f"{other}/{serial}/{literal}/{serial}", "name")
    rejected("name", names.parse, f"{literal}/{serial}/{other}/{serial}", "name")


def test_a_parent_has_the_names_before_the_last_part() -> None:
    """A name's parent is the name without its last two parts, and a singleton's is the name without the last."""
    profile = Names("users/{user}/profile", (POSTS.c.user_id,))
    assert (POST.singleton, profile.singleton) == (False, True)
    for names in (POST, profile):
        assert names.parent is not None
        assert names.parent.pattern == "users/{user}"
        assert names.parent.parse("users/7", "parent") == (7,)
    assert USER.parent is None


@checked
@given(SERIALS)
def test_a_hyphen_stands_for_any_id_where_it_may(serial: int) -> None:
    """`-` in place of an id is any id where a wildcard is allowed, and no row elsewhere."""
    cases: dict[str, tuple[Key, dict[str, int]]] = {
        f"users/-/posts/{serial}": ((ANY_ID, serial), {"key_1": serial}),
        f"users/{serial}/posts/-": ((serial, ANY_ID), {"key_0": serial}),
        "users/-/posts/-": ((ANY_ID, ANY_ID), {}),
    }
    for name, (key, parameters) in cases.items():
        assert POST.parse(name, "name", wildcard=True) == key
        assert POST.bind(key) == parameters, "any id is compared with nothing"
    with pytest.raises(StatusError) as caught:
        POST.parse(f"users/-/posts/{serial}", "name")
    assert caught.value.code is StatusCode.NOT_FOUND


@pytest.mark.parametrize("wrong", ["-", "--", "users/--", "-/7", "users-", "users/-/"])
def test_a_hyphen_stands_for_nothing_but_an_id(wrong: str) -> None:
    """`-` for more or less than one id is refused, also where a wildcard is allowed."""
    with pytest.raises(StatusError) as caught:
        USER.parse(wrong, "parent", wildcard=True)
    assert caught.value.code in (StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND)


@checked
@given(st.text(max_size=5), st.text(max_size=5))
def test_an_id_of_text_with_a_nul_is_of_no_row(before: str, after: str) -> None:
    """An id with a NUL, which PostgreSQL's text cannot have, is NOT_FOUND, or no id at all."""
    with pytest.raises(StatusError) as caught:
        LABEL.parse(f"labels/{before}\0{after}", "name")
    assert caught.value.code in (StatusCode.NOT_FOUND, StatusCode.INVALID_ARGUMENT)
