"""Page tokens, and the size of a page: properties of every one of them."""

import base64
import hmac
import string
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.message import Message
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from marketplace.v1 import user_pb2
from sqlalchemy import BigInteger, Column, String, Uuid

from tablestakes.app import OPEN_KEY
from tablestakes.crud.query.page import DEFAULT_SIZE, MAX_SIZE, SEAL_BYTES, PageTokens, page_size
from tests.crud.invalid_argument import rejected
from tests.gadgets import gadget_pb2

ALPHABET = string.ascii_letters + string.digits + "-_"
INT32 = st.integers(-(2**31), 2**31 - 1)
KEYS = st.binary(min_size=1, max_size=64)
SERIALS = st.integers(0, 2**63 - 1)
# Neither a lone surrogate nor a NUL is in any name, and so in no id.
NAMED = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
IDS: st.SearchStrategy[tuple[Column[Any], Any]] = st.one_of(
    st.tuples(st.just(Column("id", BigInteger)), SERIALS),
    st.tuples(st.just(Column("id", Uuid)), st.uuids()),
    st.tuples(st.just(Column("id", String)), st.text(NAMED)),
)
SERIAL: Column[Any] = Column("id", BigInteger)
TOKENS = PageTokens(b"a key of the tests")

checked = settings(deadline=None, max_examples=150)


def asking(token: str = "", **fields: Any) -> Any:
    """Return a List request with a token."""
    return gadget_pb2.ListGadgetsRequest(page_token=token, **fields)


def refuse(
    token: str, tokens: PageTokens = TOKENS, request: Message | None = None, column: Column[Any] = SERIAL
) -> None:
    """Assert that a token opens nothing."""
    error = rejected("page_token", tokens.open, request if request is not None else asking(token), column)
    assert error.reason == "INVALID_PAGE_TOKEN"


def forged(content: bytes, key: bytes = OPEN_KEY) -> str:
    """Return a token with any content, sealed for a request without other fields as one who knows the key can."""
    name = asking().DESCRIPTOR.full_name.encode() + b"\0"
    seal = hmac.digest(key, len(name).to_bytes(4) + name + content, "sha256")[:SEAL_BYTES]
    return encoded(seal + content)


def encoded(content: bytes) -> str:
    """Return bytes in the alphabet of tokens."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decoded(token: str) -> bytes:
    """Return the bytes of a token, as the most forgiving reader has them."""
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


@checked
@given(KEYS, IDS, st.text(max_size=20))
@example(b"k", (SERIAL, 0), "")
@example(b"k", (SERIAL, 2**63 - 1), "")
@example(b"k", (Column("id", Uuid), UUID(int=0)), "")
def test_a_token_opens_to_the_id_that_was_sealed(key: bytes, kept: tuple[Column[Any], Any], hint: str) -> None:
    """A token gives back the id that it was made of, of the column's type, whatever the rest of the request."""
    column, last_id = kept
    token = PageTokens(key).seal(asking(hint=hint), last_id)
    opened = PageTokens(key).open(asking(token, hint=hint), column)
    assert (opened, type(opened)) == (last_id, type(last_id))


@checked
@given(KEYS, IDS)
def test_tokens_are_ascii_that_a_url_takes_as_it_is(key: bytes, kept: tuple[Column[Any], Any]) -> None:
    """A token has letters, digits, hyphens and underscores only."""
    token = PageTokens(key).seal(asking(), kept[1])
    assert token
    assert set(token) <= set(ALPHABET)


@checked
@given(SERIALS)
def test_the_same_page_has_the_same_token(serial: int) -> None:
    """A token is made of nothing but its key, its request and its id."""
    assert PageTokens(b"k").seal(asking(), serial) == PageTokens(b"k").seal(asking(), serial)


def test_no_token_asks_for_the_first_page() -> None:
    """A request without a token asks for the page that is after no id."""
    assert TOKENS.open(asking(), SERIAL) is None


def test_any_other_bit_is_refused() -> None:
    """A token with any one bit of its bytes flipped opens nothing."""
    whole = decoded(TOKENS.seal(asking(), 2**63 - 1))
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        refuse(encoded(bytes(changed)))


@checked
@given(SERIALS, st.data())
def test_any_other_character_is_refused(serial: int, data: st.DataObject) -> None:
    """A token in which one character is another opens nothing, also where both stand for the same bytes."""
    token = TOKENS.seal(asking(), serial)
    index = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from(sorted(set(ALPHABET) - {token[index]})))
    refuse(token[:index] + other + token[index + 1 :])


@pytest.mark.parametrize("serial", [7, 77, 777])
def test_a_token_has_one_last_character(serial: int) -> None:
    """A token whose last character is any other opens nothing, also where both stand for the same bytes."""
    token = TOKENS.seal(asking(), serial)
    for last in set(ALPHABET) - {token[-1]}:
        refuse(token[:-1] + last)


@pytest.mark.parametrize("serial", [7, 77, 777])
@pytest.mark.parametrize("padding", ["=", "==", "===", "===="])
def test_a_token_has_no_padding(serial: int, padding: str) -> None:
    """A token with padding after it, which the server leaves off, opens nothing."""
    refuse(TOKENS.seal(asking(), serial) + padding)


def test_a_token_is_of_one_alphabet() -> None:
    """A token in the alphabet of base64 that no URL takes as it is opens nothing."""
    tokens = [TOKENS.seal(asking(), serial) for serial in range(40)]
    other = {token.replace("-", "+").replace("_", "/") for token in tokens} - set(tokens)
    assert other
    for token in other:
        refuse(token)


@checked
@given(SERIALS, st.data())
def test_characters_that_no_token_has_are_refused(serial: int, data: st.DataObject) -> None:
    """A token with a foreign character, in place of one of its own or beside it, opens nothing."""
    token = TOKENS.seal(asking(), serial)
    foreign = data.draw(st.characters(exclude_characters=ALPHABET, exclude_categories=["Cs"]))
    index = data.draw(st.integers(0, len(token) - 1))
    refuse(token[:index] + foreign + token[index + 1 :])
    refuse(token[:index] + foreign + token[index:])
    refuse(token + foreign)


def test_any_part_of_a_token_is_refused() -> None:
    """A token that is cut short, at its end or at its start, opens nothing."""
    for serial in (7, 77, 777):
        token = TOKENS.seal(asking(), serial)
        for length in range(1, len(token)):
            refuse(token[:length])
            refuse(token[-length:])


@checked
@given(SERIALS, st.text(ALPHABET, min_size=1, max_size=40))
def test_more_than_a_token_is_refused(serial: int, more: str) -> None:
    """A token with further characters after or before it opens nothing."""
    token = TOKENS.seal(asking(), serial)
    refuse(token + more)
    refuse(more + token)


@checked
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
@example("A" * 24)
@example("=")
@example("é")
def test_text_that_was_never_given_out_is_no_token(text: str) -> None:
    """Text that was never given out as a token is refused, and is no other error."""
    refuse(text)


@checked
@given(st.binary(max_size=40))
def test_bytes_that_were_never_sealed_are_no_token(content: bytes) -> None:
    """Bytes that were never sealed are refused before anything reads them."""
    assume(content)
    refuse(encoded(content))


@checked
@given(KEYS, KEYS, SERIALS)
def test_a_token_of_another_key_is_refused(key: bytes, other: bytes, serial: int) -> None:
    """A token opens with its own key only."""
    # HMAC fills a key up with zeros, so keys that differ in those alone are one key.
    assume(key.rstrip(b"\0") != other.rstrip(b"\0"))
    refuse(PageTokens(other).seal(asking(), serial), PageTokens(key))


@checked
@given(SERIALS)
def test_a_token_of_another_method_is_refused(serial: int) -> None:
    """A token opens for the type of request that it was made for, also where the two have the same content."""
    other = user_pb2.ListUsersRequest()
    assert other.SerializeToString() == asking().SerializeToString()
    refuse(TOKENS.seal(other, serial))
    other.page_token = TOKENS.seal(asking(), serial)
    refuse(other.page_token, request=other)


@checked
@given(st.text(max_size=20), st.text(max_size=20), SERIALS)
def test_a_token_of_another_request_is_refused(hint: str, other: str, serial: int) -> None:
    """A token opens only while the rest of its request is as it was."""
    assume(hint != other)
    token = TOKENS.seal(asking(hint=hint), serial)
    refuse(token, request=asking(token, hint=other))


def test_a_forged_token_would_be_opened() -> None:
    """The forgery of these tests is what the engine seals: it is refused for its content, and not for its seal."""
    assert forged(b"7") == PageTokens(OPEN_KEY).seal(asking(), 7)
    assert PageTokens(OPEN_KEY).open(asking(forged(b"7")), SERIAL) == 7
    refuse(forged(b"7", b"another key"), PageTokens(OPEN_KEY))


# Contents that nobody ever seals: JSON of other types, ids that no row can have, and text that a reader of JSON or
# of integers would choke on.
FORGERIES = {
    "array of a number": b"[1]",
    "empty array": b"[]",
    "object": b"{}",
    "text": b'"1"',
    "null": b"null",
    "no id": b"",
    "no number": b"seven",
    "fraction": b"1.5",
    "sign": b"+1",
    "negative": b"-1",
    "zeros": b"007",
    "space": b" 7",
    "new line": b"7\n",
    "other digits": "\N{ARABIC-INDIC DIGIT SEVEN}".encode(),
    "too large": str(2**63).encode(),
    "no UTF-8": b"\xff\xfe",
    "5,000 digits": b"9" * 5_000,
    "100,000 brackets": b"[" * 100_000,
}


@pytest.mark.parametrize("content", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forged_content_is_refused(content: bytes) -> None:
    """Whoever knows the key can seal any content, and a content that is no id of the column is INVALID_ARGUMENT."""
    refuse(forged(content), PageTokens(OPEN_KEY))


@checked
@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode(errors="replace")))
def test_any_forged_content_is_an_id_or_refused(content: bytes) -> None:
    """Whatever content is sealed with the well-known key, it opens to an id that there can be, or is refused."""
    token = forged(content)
    if content.isdigit() and str(int(content)).encode() == content and int(content) < 1 << 63:
        assert PageTokens(OPEN_KEY).open(asking(token), SERIAL) == int(content)
    else:
        refuse(token, PageTokens(OPEN_KEY))


@pytest.mark.parametrize(
    ("column", "content"),
    [
        (Column("id", Uuid), b"7"),
        (Column("id", Uuid), b"00000000-0000-0000-0000-00000000000A"),
        (Column("id", Uuid), b"{00000000-0000-0000-0000-000000000000}"),
        (Column("id", String), b"a\0b"),
    ],
)
def test_a_forged_id_of_another_column_is_refused(column: Column[Any], content: bytes) -> None:
    """A sealed content that the column of the ids cannot keep, or keeps under another spelling, is refused."""
    refuse(forged(content), PageTokens(OPEN_KEY), column=column)


@checked
@given(INT32, INT32, SERIALS, st.text(max_size=20))
def test_the_size_and_the_token_of_a_page_are_not_bound(size: int, other: int, serial: int, before: str) -> None:
    """A token opens whatever the page_size, and the token, of the request that it was made for."""
    token = TOKENS.seal(asking(before, page_size=size), serial)
    assert TOKENS.open(asking(token, page_size=other), SERIAL) == serial


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
