"""The keys that sign tokens: kept through an outage, renewed in time, and asked for no more often than need be."""

import asyncio
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from tablestakes.errors import StatusError
from tablestakes.identity.claims import Claims
from tablestakes.identity.key_set import KeySet, KeySetError, read_keys
from tablestakes.identity.token import Tokens
from tablestakes.telemetry import KeySetMetrics
from tablestakes.testing.issuer import Issuer


class Clock:
    """A clock that stands still."""

    now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Site:
    """A web server that publishes a key set.

    Attributes:
        asked: How often it was asked.
        content: Its answer; None for an outage.
        answer: "redirect" or "broken" for one that is none.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.content: bytes | None = None
        self.answer = ""
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked += 1
                if site.answer == "redirect" and self.path != "/elsewhere":
                    self.send_response(302)
                    self.send_header("location", "/elsewhere")
                    self.end_headers()
                    return
                if site.answer == "broken":
                    self.send_response(200)
                    self.send_header("content-length", "100000")
                    self.end_headers()
                    self.wfile.write(b"{")
                    return
                self.send_response(200 if site.content is not None else 503)
                self.end_headers()
                self.wfile.write(site.content or b"")

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server of this test's own."""
    made = Site()
    thread = Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join()
        made.server.server_close()


def metrics() -> tuple[CollectorRegistry, KeySetMetrics]:
    """Return metrics of a test's own."""
    registry = CollectorRegistry()
    return registry, KeySetMetrics(registry)


async def settled(keys: KeySet) -> None:
    """Wait until no renewal is under way."""
    while keys._renewing is not None:
        await asyncio.wait((keys._renewing,))


async def test_an_unknown_key_is_asked_for_once_a_minute(site: Site, tmp_path: Path) -> None:
    """However many tokens name unknown keys, the issuer is asked once a minute, and a new key is found then."""
    issuer, clock = Issuer(tmp_path), Clock()
    site.content = issuer.jwks.read_bytes()
    keys = KeySet(site.url, metrics()[1], clock)
    await keys.load()
    assert await keys.find("unknown") is None
    await asyncio.gather(*(keys.find(f"unknown-{number}") for number in range(20)))
    assert site.asked == 2
    issuer.rotate()
    site.content = issuer.jwks.read_bytes()
    assert await keys.find(issuer.kid) is None
    clock.now += 61
    assert await keys.find(issuer.kid) is not None
    assert site.asked == 3


async def test_an_outage_is_survived_on_the_keys_at_hand(site: Site, tmp_path: Path) -> None:
    """While the issuer does not answer, or answers nonsense, the keys that are known go on, and it is counted."""
    issuer, clock = Issuer(tmp_path), Clock()
    site.content = issuer.jwks.read_bytes()
    registry, counted = metrics()
    keys = KeySet(site.url, counted, clock)
    await keys.load()
    first = keys.current(issuer.kid)
    for outage in (None, b"", b"{}", b'{"keys": []}', b"<html>"):
        site.content = outage
        clock.now += 301
        assert keys.current(issuer.kid) is first
        await settled(keys)
        assert keys.current(issuer.kid) is first
    failed = registry.get_sample_value("rpc_server_key_set_renewals_total", {"error_type": "failed"})
    assert failed == 5
    assert registry.get_sample_value("rpc_server_key_set_renewals_total", {"error_type": ""}) == 1


@pytest.mark.parametrize("answer", ["redirect", "broken"])
async def test_an_answer_that_is_none_is_an_outage(site: Site, tmp_path: Path, answer: str) -> None:
    """A redirect is not followed, and an answer that breaks off is counted as any other failure."""
    issuer = Issuer(tmp_path)
    site.content, site.answer = issuer.jwks.read_bytes(), answer
    with pytest.raises(KeySetError):
        await KeySet(site.url, metrics()[1]).load()


async def test_without_any_key_tokens_cannot_be_told(site: Site, tmp_path: Path) -> None:
    """Before the issuer has answered once a token is UNAVAILABLE, and not called wrong."""
    issuer, clock = Issuer(tmp_path), Clock()
    keys = KeySet(site.url, metrics()[1], clock)
    tokens = Tokens(keys, issuer="", audience="", claims=Claims())
    for _ in range(10):
        with pytest.raises(StatusError, match="KEYS_UNAVAILABLE"):
            await tokens.verify(issuer.token("u", aud=None))
        await settled(keys)
    assert site.asked <= 2, "the issuer is asked once a second, whoever calls"
    site.content = issuer.jwks.read_bytes()
    clock.now += 61
    assert (await tokens.verify(issuer.token("u", aud=None))).subject == "u"


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
async def test_a_token_is_verified_once_and_forgotten_when_it_expires(tmp_path: Path, algorithm: str) -> None:
    """The same token has the same caller until it expires, and none from then on."""
    issuer, clock = Issuer(tmp_path, algorithm), Clock()
    keys = KeySet(str(issuer.jwks), metrics()[1])
    await keys.load()
    claims = Claims(attributes={"user": "marketplace_user"})
    tokens = Tokens(keys, issuer=issuer.issuer, audience=issuer.audience, claims=claims, leeway=10, clock=clock)
    token = issuer.token("u", roles=["a"], scopes=["x", "y"], marketplace_user="users/7", expires_in=60)
    clock.now = 0
    caller = await tokens.verify(token)
    assert (caller.roles, caller.scopes) == (frozenset({"a"}), frozenset({"x", "y"}))
    assert dict(caller.attributes) == {"user": "users/7"}
    assert await tokens.verify(token) is caller
    clock.now = 4e9
    again = await tokens.verify(token)
    assert again is not caller, "it was verified anew"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"keys": 3}',
        b'{"keys": [3, {}, {"kty": "oct", "k": "AA", "kid": "a"}]}',
        b"\xff",
    ],
)
def test_what_has_no_key_is_no_key_set(content: bytes) -> None:
    """A set without any key that signs is refused as a whole, a shared secret among them."""
    with pytest.raises(KeySetError):
        read_keys(content)


def test_a_key_that_encrypts_is_left_out(tmp_path: Path) -> None:
    """A key for another use does not verify tokens, and the others of its set do."""
    one, other = Issuer(tmp_path), Issuer(tmp_path)
    found = read_keys(json.dumps({"keys": [{**one.public, "use": "enc"}, other.public]}).encode())
    assert list(found) == [other.kid]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(claims=st.dictionaries(st.sampled_from(["sub", "scope", "scp", "roles", "user", "realm"]), json_values))
def test_claims_of_any_type_say_what_they_can(claims: dict[str, Any]) -> None:
    """Whatever the types of the claims are, a caller has texts for roles, scopes and attributes, or is none."""
    caller = Claims("realm.roles", {"user": "user"}).caller(claims)
    if caller is None:
        assert not isinstance(claims.get("sub"), str) or not claims["sub"]
        return
    assert all(isinstance(each, str) for each in (*caller.roles, *caller.scopes, *caller.attributes.values()))


def test_roles_may_be_inside_of_a_claim() -> None:
    """A path leads into a claim, and a claim whose own name has dots is found by it."""
    assert Claims("realm_access.roles").caller({"sub": "u", "realm_access": {"roles": ["a"]}}).roles == {"a"}  # type: ignore[union-attr]
    url = "https://example.com/roles"
    assert Claims(url).caller({"sub": "u", url: ["b"]}).roles == {"b"}  # type: ignore[union-attr]
