"""Page tokens, and the size of a page: what holds for every one of them."""

import base64
import string
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from marketplace.v1 import user_pb2

from tablestakes.crud.verb.page import DEFAULT_SIZE, MAX_SIZE, PageTokens, page_size
from tests.crud.rejection import rejected
from tests.gadgets import gadget_pb2

ALPHABET = string.ascii_letters + string.digits + "-_"
INT32 = st.integers(-(2**31), 2**31 - 1)
KEYS = st.binary(min_size=1, max_size=64)
SERIALS = st.integers(0, 2**63 - 1)
# One column of a serial is what there is; nothing says that it stays so.
POSITIONS = st.lists(
    SERIALS | st.text(max_size=20) | st.booleans() | st.none() | st.floats(allow_nan=False), min_size=1, max_size=3
)
TOKENS = PageTokens(b"a key of the tests")

checked = settings(deadline=None, max_examples=150)


def asking(token: str = "", **fields: Any) -> Any:
    """Return a List request with a token."""
    return gadget_pb2.ListGadgetsRequest(page_token=token, **fields)


def refuse(token: str, tokens: PageTokens = TOKENS, request: Message | None = None) -> None:
    """Assert that a token opens nothing."""
    told = rejected("page_token", tokens.open, request if request is not None else asking(token))
    assert told.reason == "INVALID_PAGE_TOKEN"


def decoded(token: str) -> bytes:
    """Return the bytes of a token, as the most forgiving reader has them."""
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


@checked
@given(KEYS, POSITIONS, st.text(max_size=20))
def test_what_was_sealed_opens_to_the_same_position(key: bytes, position: list[Any], hint: str) -> None:
    """A token gives back the position that it was made of, whatever the key and the rest of the request."""
    token = PageTokens(key).seal(asking(hint=hint), position)
    assert PageTokens(key).open(asking(token, hint=hint)) == position


@checked
@given(KEYS, POSITIONS)
def test_tokens_are_ascii_that_a_url_takes_as_it_is(key: bytes, position: list[Any]) -> None:
    """A token has letters, digits, hyphens and underscores only."""
    token = PageTokens(key).seal(asking(), position)
    assert token
    assert set(token) <= set(ALPHABET)


@checked
@given(SERIALS)
def test_the_same_page_has_the_same_token(serial: int) -> None:
    """A token is made of nothing but its key, its request and its position."""
    assert PageTokens(b"k").seal(asking(), [serial]) == PageTokens(b"k").seal(asking(), [serial])


def test_no_token_asks_for_the_first_page() -> None:
    """A request without a token has no position."""
    assert TOKENS.open(asking()) is None


def test_any_other_bit_is_refused() -> None:
    """A token with any one bit of its bytes flipped opens nothing."""
    whole = decoded(TOKENS.seal(asking(), [2**63 - 1]))
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        refuse(base64.urlsafe_b64encode(changed).rstrip(b"=").decode())


@checked
@given(SERIALS, st.data())
def test_any_other_character_is_refused(serial: int, data: st.DataObject) -> None:
    """A token in which one character is another opens nothing, also where both stand for the same bytes."""
    token = TOKENS.seal(asking(), [serial])
    index = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from(sorted(set(ALPHABET) - {token[index]})))
    refuse(token[:index] + other + token[index + 1 :])


@pytest.mark.parametrize("serial", [7, 77, 777])
def test_a_token_has_one_last_character(serial: int) -> None:
    """A token whose last character is any other opens nothing, also where both stand for the same bytes."""
    token = TOKENS.seal(asking(), [serial])
    for last in set(ALPHABET) - {token[-1]}:
        refuse(token[:-1] + last)


@pytest.mark.parametrize("serial", [7, 77, 777])
@pytest.mark.parametrize("padding", ["=", "==", "===", "===="])
def test_a_token_has_no_padding(serial: int, padding: str) -> None:
    """A token with padding after it, which the server leaves off, opens nothing."""
    refuse(TOKENS.seal(asking(), [serial]) + padding)


def test_a_token_is_of_one_alphabet() -> None:
    """A token in the alphabet of base64 that no URL takes as it is opens nothing."""
    tokens = [TOKENS.seal(asking(), [serial]) for serial in range(40)]
    other = {token.replace("-", "+").replace("_", "/") for token in tokens} - set(tokens)
    assert other
    for token in other:
        refuse(token)


@checked
@given(SERIALS, st.data())
def test_characters_that_no_token_has_are_refused(serial: int, data: st.DataObject) -> None:
    """A token with a foreign character, in place of one of its own or beside it, opens nothing."""
    token = TOKENS.seal(asking(), [serial])
    foreign = data.draw(st.characters(exclude_characters=ALPHABET, exclude_categories=["Cs"]))
    index = data.draw(st.integers(0, len(token) - 1))
    refuse(token[:index] + foreign + token[index + 1 :])
    refuse(token[:index] + foreign + token[index:])
    refuse(token + foreign)


def test_any_part_of_a_token_is_refused() -> None:
    """A token that is cut short, at its end or at its start, opens nothing."""
    for serial in (7, 77, 777):
        token = TOKENS.seal(asking(), [serial])
        for length in range(1, len(token)):
            refuse(token[:length])
            refuse(token[-length:])


@checked
@given(SERIALS, st.text(ALPHABET, min_size=1, max_size=40))
def test_more_than_a_token_is_refused(serial: int, more: str) -> None:
    """A token with further characters after or before it opens nothing."""
    token = TOKENS.seal(asking(), [serial])
    refuse(token + more)
    refuse(more + token)


@checked
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
@example("A" * 24)
@example("=")
@example("é")
def test_no_text_of_ones_own_is_a_token(text: str) -> None:
    """Text that was never given out as a token is refused, and is no other error."""
    refuse(text)


@checked
@given(st.binary(max_size=40))
def test_no_bytes_of_ones_own_are_a_token(content: bytes) -> None:
    """Bytes that were never sealed are refused before anything reads them."""
    assume(content)
    refuse(base64.urlsafe_b64encode(content).rstrip(b"=").decode())


@checked
@given(KEYS, KEYS, SERIALS)
def test_a_token_of_another_key_is_refused(key: bytes, other: bytes, serial: int) -> None:
    """A token opens with its own key only."""
    # HMAC fills a key up with zeros, so keys that differ in those alone are one key.
    assume(key.rstrip(b"\0") != other.rstrip(b"\0"))
    refuse(PageTokens(other).seal(asking(), [serial]), PageTokens(key))


@checked
@given(SERIALS)
def test_a_token_of_another_method_is_refused(serial: int) -> None:
    """A token opens for the type of request that it was made for, also where the two have the same content."""
    other = user_pb2.ListUsersRequest()
    assert other.SerializeToString() == asking().SerializeToString()
    refuse(TOKENS.seal(other, [serial]))
    other.page_token = TOKENS.seal(asking(), [serial])
    refuse(other.page_token, request=other)


@checked
@given(st.text(max_size=20), st.text(max_size=20), SERIALS)
def test_a_token_of_another_request_is_refused(hint: str, other: str, serial: int) -> None:
    """A token opens only while the rest of its request is as it was."""
    assume(hint != other)
    token = TOKENS.seal(asking(hint=hint), [serial])
    refuse(token, request=asking(token, hint=other))


@checked
@given(INT32, INT32, SERIALS, st.text(max_size=20))
def test_the_size_and_the_token_of_a_page_are_not_bound(size: int, other: int, serial: int, before: str) -> None:
    """A token opens whatever the page_size, and the token, of the request that it was made for."""
    token = TOKENS.seal(asking(before, page_size=size), [serial])
    assert TOKENS.open(asking(token, page_size=other)) == [serial]


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
