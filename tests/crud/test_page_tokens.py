"""Page tokens, the places in them, and the size of a page: properties of every one of them."""

import base64
import string
from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from marketplace.v1 import user_pb2

from tablestakes.crud.query.page import DEFAULT_SIZE, MAX_SIZE, page_size
from tablestakes.crud.query.position import pack, unpack
from tablestakes.crud.query.token import PageTokens, scope_of
from tests.crud.invalid_argument import rejected
from tests.gadgets import gadget_pb2

ALPHABET = string.ascii_letters + string.digits + "-_"
INT32 = st.integers(-(2**31), 2**31 - 1)
KEYS = st.binary(min_size=1, max_size=64)
PLACES = st.binary(max_size=40)
TOKENS = PageTokens(b"a key of the tests")
SERVICES = {
    name: file.DESCRIPTOR.services_by_name[name]
    for file, name in ((gadget_pb2, "GadgetService"), (user_pb2, "UserService"))
}
METHOD = SERVICES["GadgetService"].methods_by_name["ListGadgets"]

checked = settings(deadline=None, max_examples=100)


def scope(method: Any = METHOD, **fields: Any) -> bytes:
    """Return the scope of a List request."""
    return scope_of(method, gadget_pb2.ListGadgetsRequest(**fields))


SCOPE = scope()


def refuse(token: str, tokens: PageTokens = TOKENS, asked: bytes = SCOPE) -> None:
    """Assert that a token opens nothing."""
    assert rejected("page_token", tokens.open, token, asked).reason == "INVALID_PAGE_TOKEN"


def encoded(content: bytes) -> str:
    """Return bytes in the alphabet of tokens."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decoded(token: str) -> bytes:
    """Return the bytes of a token, as the most forgiving reader has them."""
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


@checked
@given(KEYS, PLACES, st.text(max_size=20))
def test_a_token_opens_to_what_was_sealed(key: bytes, place: bytes, hint: str) -> None:
    """A token gives back the place that it was made of, whatever its request, with the same key on any replica."""
    asked = scope(hint=hint)
    token = PageTokens(key).seal(place, asked)
    assert PageTokens(key).open(token, asked) == place
    assert set(token) <= set(ALPHABET)


def test_a_token_tells_nothing() -> None:
    """A token has nothing of its place in it, and the same place has another token each time."""
    place = b"a place that nobody is to read"
    tokens = {TOKENS.seal(place, SCOPE) for _ in range(20)}
    assert len(tokens) == 20
    for token in tokens:
        assert not any(place[index : index + 3] in decoded(token) for index in range(len(place) - 2))


def test_any_other_bit_is_refused() -> None:
    """A token with any one bit of its bytes flipped opens nothing, its version and its nonce among them."""
    whole = decoded(TOKENS.seal(b"place", SCOPE))
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        refuse(encoded(bytes(changed)))


@pytest.mark.parametrize("place", [b"", b"7", b"77"])
def test_any_other_character_is_refused(place: bytes) -> None:
    """A token in which one character is another opens nothing, also where both stand for the same bytes."""
    token = TOKENS.seal(place, SCOPE)
    for index in range(len(token)):
        for other in {ALPHABET[(ALPHABET.index(token[index]) + step) % 64] for step in (1, 2, 16, 40)}:
            refuse(token[:index] + other + token[index + 1 :])
    for last in set(ALPHABET) - {token[-1]}:
        refuse(token[:-1] + last)


@checked
@given(PLACES, st.text(min_size=1, max_size=40), st.data())
def test_more_or_other_than_a_token_is_refused(place: bytes, more: str, data: st.DataObject) -> None:
    """A token with further characters anywhere, or any of its own replaced by a foreign one, opens nothing."""
    token = TOKENS.seal(place, SCOPE)
    index = data.draw(st.integers(0, len(token) - 1))
    refuse(token[:index] + more + token[index:])
    refuse(token + more)
    foreign = data.draw(st.characters(exclude_characters=ALPHABET))
    refuse(token[:index] + foreign + token[index + 1 :])


@pytest.mark.parametrize("padding", ["=", "==", "===", "===="])
def test_a_token_has_no_padding(padding: str) -> None:
    """A token with padding after it, which the server leaves off, opens nothing."""
    for place in (b"", b"7", b"77"):
        refuse(TOKENS.seal(place, SCOPE) + padding)


def test_a_token_is_of_one_alphabet() -> None:
    """A token in the alphabet of base64 that no URL takes as it is opens nothing."""
    tokens = [TOKENS.seal(b"place", SCOPE) for _ in range(40)]
    other = {token.replace("-", "+").replace("_", "/") for token in tokens} - set(tokens)
    assert other
    for token in other:
        refuse(token)


def test_any_part_of_a_token_is_refused() -> None:
    """A token that is cut short, at its end or at its start, opens nothing."""
    token = TOKENS.seal(b"place", SCOPE)
    for length in range(len(token)):
        refuse(token[:length])
        if length:
            refuse(token[-length:])


@checked
@given(st.text() | st.binary(max_size=80).map(encoded) | st.binary(max_size=80).map(lambda b: encoded(b"\x01" + b)))
@example("A" * 24)
@example("=")
@example("A" * 100_000)
def test_text_that_was_never_given_out_is_no_token(text: str) -> None:
    """Text that was never given out as a token is refused, and is no other error."""
    refuse(text)


@checked
@given(KEYS, KEYS, PLACES)
def test_the_first_key_seals_and_every_key_opens(key: bytes, other: bytes, place: bytes) -> None:
    """A token opens with each list of keys that has its own, which is the first of the list that sealed it."""
    assume(key != other)
    token = PageTokens(key, other).seal(place, SCOPE)
    assert PageTokens(key).open(token, SCOPE) == PageTokens(other, key).open(token, SCOPE) == place
    refuse(token, PageTokens(other))


@checked
@given(st.text(max_size=20), st.text(max_size=20))
def test_a_token_of_another_request_is_refused(hint: str, other: str) -> None:
    """A token opens only for the same method and while the rest of its request is as it was."""
    assume(hint != other)
    token = TOKENS.seal(b"place", scope(hint=hint))
    refuse(token, asked=scope(hint=other))
    refuse(token, asked=scope(filter=hint + "x"))
    refuse(token, asked=scope(SERVICES["UserService"].methods_by_name["ListUsers"], hint=hint))


@checked
@given(INT32, INT32, INT32, st.text(max_size=20), st.booleans())
def test_what_may_change_between_pages_is_not_bound(a: int, b: int, skip: int, token: str, counted: bool) -> None:
    """A token opens whatever the page_size, the skip and the token of its request, and whether it is counted."""
    method = SERVICES["UserService"].methods_by_name["ListUsers"]
    request = user_pb2.ListUsersRequest
    made = scope_of(method, request(page_size=a, filter="x", skip=skip))
    assert made == scope_of(method, request(page_size=b, page_token=token, filter="x", return_total_size=counted))
    assert made != scope_of(method, request(page_size=a, filter="x", skip=skip, order_by="username"))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
    st.uuids(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.datetimes(timezones=st.just(UTC)),
    st.dates(),
    st.times(),
    st.timedeltas(min_value=timedelta(days=-999_999), max_value=timedelta(days=999_999)),
)


@checked
@given(st.lists(VALUES, max_size=10))
@example([float("inf"), -0.0, 2**63, "\x00", b"", None])
def test_a_place_is_read_as_it_was_written(values: Sequence[Any]) -> None:
    """A place gives back the values that it was made of, each of its own type."""
    found = unpack(pack(values))
    assert list(found) == list(values)
    assert [type(value) for value in found] == [type(value) for value in values]


def test_a_value_that_no_token_keeps_is_an_error() -> None:
    """A value of a type that there is no way to keep is a TypeError, and is not kept as another."""
    with pytest.raises(TypeError, match="complex"):
        pack([1j])


@checked
@given(INT32)
@example(MAX_SIZE)
@example(MAX_SIZE + 1)
@example(0)
@example(-1)
def test_a_page_size_is_refused_kept_or_bounded(requested: int) -> None:
    """A negative page_size is refused, 0 is the default, and any other is kept up to the most."""
    if requested < 0:
        assert rejected("page_size", page_size, requested).reason == "NEGATIVE_PAGE_SIZE"
    elif requested == 0:
        assert page_size(requested) == DEFAULT_SIZE
    else:
        assert page_size(requested) == min(requested, MAX_SIZE)
