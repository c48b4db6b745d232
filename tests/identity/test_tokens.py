"""Tokens over the wire: a good one says who calls, and a forged one is refused by every method."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives import serialization

from marketplace_service import SERVICE
from tablestakes.app import App
from tablestakes.crud.query.token import PageTokens
from tablestakes.identity.preshared import PresharedKeys, PresharedKeysError
from tablestakes.settings import SettingsError
from tablestakes.testing.issuer import Issuer
from tablestakes.testing.serving import serving, settings_for
from tests.certificates import Authority
from tests.status import Refusal, refusal

METHODS = SERVICE.bind(PageTokens(b""))
WALK = Path(__file__).resolve().parents[2] / "docs" / "walkthrough-keys.json"
KEY = "an-operators-key-of-enough-characters"


class Guarded:
    """The marketplace with policies, and an issuer of tokens for it."""

    def __init__(self, app: App, channel: grpc.aio.Channel, issuer: Issuer, folder: Path) -> None:
        self.app, self.channel, self.issuer, self.folder = app, channel, issuer, folder

    async def call(self, path: str, credentials: str | None, *, name: str = "") -> bytes:
        """Call a method with credentials, and return the bytes of the answer."""
        metadata = () if credentials is None else (("authorization", credentials),)
        body = b"" if not name else b"\x0a" + bytes([len(name)]) + name.encode()
        stub: Any = self.channel.unary_unary(path)
        return bytes(await stub(body, metadata=metadata))

    async def refused(self, path: str, credentials: str | None) -> Refusal:
        """Return how a call is refused."""
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await self.call(path, credentials)
        return refusal(raised.value)


@pytest.fixture(scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    """The marketplace on an embedded database, which takes tokens and one preshared key."""
    folder = tmp_path_factory.mktemp("identity")
    issuer, keys = Issuer(folder), folder / "keys.json"
    keys.write_text(json.dumps({"keys": [{"key": KEY, "subject": "operator", "roles": ["admin"]}]}))
    url = f"sqlite+aiosqlite:///{folder}/market.db"
    given = {"policy": "on", "preshared_keys": str(keys), **issuer.settings}
    async with (
        serving(SERVICE, settings_for(SERVICE, url, **given)) as app,
        grpc.aio.insecure_channel(app.address) as channel,
    ):
        yield Guarded(app, channel, issuer, folder)


WALLETS, USERS = "/marketplace.v1.WalletService/ListTransfers", "/marketplace.v1.UserService/ListUsers"


def _b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _unsigned(issuer: Issuer) -> str:
    body = issuer.token("mallory", roles=["admin"]).split(".")[1]
    return f"{_b64(json.dumps({'alg': 'none', 'kid': issuer.kid}).encode())}.{body}."


def _by_public_key(issuer: Issuer) -> str:
    """Sign with the public key as if it were a shared secret."""
    pem = issuer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    header = _b64(json.dumps({"alg": "HS256", "kid": issuer.kid}).encode())
    body = issuer.token("mallory", roles=["admin"]).split(".")[1]
    return f"{header}.{body}.{_b64(hmac.digest(pem, f'{header}.{body}'.encode(), hashlib.sha256))}"


def _by_another(issuer: Issuer, **given: Any) -> str:
    """Sign with another key, under the id of the real one."""
    folder = issuer.jwks.parent / "other"
    folder.mkdir(exist_ok=True)
    return Issuer(folder).token("mallory", headers={"kid": issuer.kid, **given}, roles=["admin"])


def _headed(issuer: Issuer, **given: Any) -> str:
    _, body, signature = issuer.token("mallory", roles=["admin"]).split(".")
    return f"{_b64(json.dumps({'alg': 'ES256', 'kid': issuer.kid, **given}).encode())}.{body}.{signature}"


def _changed(issuer: Issuer) -> str:
    header, body, signature = issuer.token("user").split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{header}.{_b64(json.dumps({**claims, 'roles': ['admin']}).encode())}.{signature}"


FORGED: dict[str, Callable[[Issuer], str]] = {
    "alg none": _unsigned,
    "HS256 with the public key": _by_public_key,
    "another key": _by_another,
    "a key of its own in the header": lambda issuer: _by_another(issuer, jwk=issuer.public),
    "a key set of its own": lambda issuer: _by_another(issuer, jku="https://mallory.test/jwks.json"),
    "changed claims": _changed,
    "another audience": lambda issuer: issuer.token("user", aud="another"),
    "no audience": lambda issuer: issuer.token("user", aud=None),
    "another issuer": lambda issuer: issuer.token("user", iss="https://mallory.test"),
    "expired": lambda issuer: issuer.token("user", expires_in=-120),
    "not yet valid": lambda issuer: issuer.token("user", nbf=4_000_000_000),
    "no end": lambda issuer: issuer.token("user", exp=None),
    "no subject": lambda issuer: issuer.token("user", sub=None),
    "an unknown rule": lambda issuer: issuer.token("user", headers={"crit": ["b64"], "b64": False}),
    "an unknown key": lambda issuer: issuer.token("user", headers={"kid": "nobody's"}),
    "an algorithm that is no text": lambda issuer: _headed(issuer, alg=["ES256"]),
    "an algorithm that is an object": lambda issuer: _headed(issuer, alg={"ES256": 1}),
    "a key id that is no text": lambda issuer: _headed(issuer, kid=7),
    "garbage": lambda _: "e30.e30.e30",
    "no token": lambda _: "x" * 40,
    "huge": lambda _: "a" * 8193,
}


@pytest.mark.parametrize("forgery", FORGED)
async def test_a_forged_token_is_refused_by_every_method(guarded: Guarded, forgery: str) -> None:
    """No method, a public one neither, is served to a caller whose token is forged."""
    token = FORGED[forgery](guarded.issuer)
    for method in METHODS:
        found = await guarded.refused(method.path, f"Bearer {token}")
        assert found.code is grpc.StatusCode.UNAUTHENTICATED, method.path
        assert found.info.reason == ("TOKEN_EXPIRED" if forgery == "expired" else "CREDENTIALS_INVALID")


@pytest.mark.parametrize("given", ["Basic dTpw", "Bearer", "bearer ", "Token abc"])
async def test_other_credentials_are_refused(guarded: Guarded, given: str) -> None:
    """Credentials of another scheme are refused, and not taken for none."""
    assert (await guarded.refused(USERS, given)).code is grpc.StatusCode.UNAUTHENTICATED


async def test_without_credentials_only_what_is_public_is_served(guarded: Guarded) -> None:
    """Without credentials a call is UNAUTHENTICATED before its request is looked at, but for public methods."""
    public = {"GetPost", "BatchGetPosts", "ListPosts", "GetComment", "BatchGetComments", "ListComments", "GetTag"}
    public |= {"BatchGetTags", "ListTags", "GetProduct", "BatchGetProducts", "ListProducts"}
    for method in METHODS:
        if method.name in public:
            continue
        found = await guarded.refused(method.path, None)
        assert (found.code, found.info.reason) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "AUTHENTICATION_REQUIRED",
        ), method.path
    await guarded.call("/marketplace.v1.PostService/ListPosts", None)


async def test_a_good_token_says_who_calls(guarded: Guarded) -> None:
    """A token of the issuer is served, by the scheme in any case, and its role decides what it may call."""
    user, admin = guarded.issuer.token("u"), guarded.issuer.token("a", roles=["admin"])
    await guarded.call(WALLETS, f"Bearer {user}")
    await guarded.call(WALLETS, f"bearer {user}")
    found = await guarded.refused("/marketplace.v1.WalletService/DepositMoney", f"Bearer {user}")
    assert (found.code, found.info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "METHOD_NOT_ALLOWED")
    assert found.info.metadata["allowed"] == "role admin"
    again = await guarded.refused("/marketplace.v1.WalletService/DepositMoney", f"Bearer {admin}")
    assert again.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_preshared_key_says_who_calls(guarded: Guarded) -> None:
    """A preshared key is served as its subject, until the file is written without it."""
    found = await guarded.refused("/marketplace.v1.WalletService/DepositMoney", f"Bearer {KEY}")
    assert found.code is grpc.StatusCode.INVALID_ARGUMENT
    path = guarded.folder / "keys.json"
    before = path.read_text()
    try:
        path.write_text("{half")
        await guarded.call(WALLETS, f"Bearer {KEY}")
        path.write_text(before.replace(KEY, KEY[::-1]))
        assert (await guarded.refused(WALLETS, f"Bearer {KEY}")).code is grpc.StatusCode.UNAUTHENTICATED
        await guarded.call(WALLETS, f"Bearer {KEY[::-1]}")
    finally:
        path.write_text(before)


PATHS = (
    "{service}/{method}",
    "//{service}/{method}",
    "/{service}//{method}",
    "/{service}/{method}/",
    "/{service}/{lower}",
    "/{upper}/{method}",
    "/{service}%2F{method}",
    "/{service}/{method}?x=1",
    "/./{service}/{method}",
)


@pytest.mark.parametrize("shape", PATHS)
async def test_a_path_that_is_not_canonical_is_no_method(guarded: Guarded, shape: str) -> None:
    """No other spelling of a path leads to a method, by which its policy could be passed by."""
    admin = f"Bearer {guarded.issuer.token('a', roles=['admin'])}"
    for method in METHODS:
        path = shape.format(
            service=method.service, method=method.name, lower=method.name.lower(), upper=method.service.upper()
        )
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await guarded.call(path, admin)
        assert raised.value.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL), path


async def test_a_new_key_is_taken_and_the_old_ones_tokens_end(guarded: Guarded) -> None:
    """After a rotation tokens of the new key are served, and those of the old one no more, remembered or not."""
    before = guarded.issuer.token("u")
    await guarded.call(WALLETS, f"Bearer {before}")
    guarded.issuer.rotate()
    after = guarded.issuer.token("u")
    await guarded.call(WALLETS, f"Bearer {after}")
    assert (await guarded.refused(WALLETS, f"Bearer {before}")).code is grpc.StatusCode.UNAUTHENTICATED


async def test_keys_of_the_documentation_open_nothing_to_others(tmp_path: Path) -> None:
    """A service that others can reach does not start with a preshared key that everybody can read here."""
    keys = WALK
    url = f"sqlite+aiosqlite:///{tmp_path}/app.db"
    certificate, key = Authority().sign("service", dns=("service.test",)).write(tmp_path)
    settings = settings_for(
        SERVICE,
        url,
        listen="0.0.0.0:0",
        tls_certificate=str(certificate),
        tls_key=str(key),
        policy="on",
        preshared_keys=str(keys),
    )
    with pytest.raises(SettingsError, match="documentation"):
        async with serving(SERVICE, settings):
            pass


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "no list of keys"),
        ("[]", "no list of keys"),
        ('{"keys": [{"key": "short", "subject": "s"}]}', "at least 32 characters"),
        ('{"keys": [{"key": "' + "k" * 40 + '"}]}', "no list of keys"),
        ('{"keys": [{"key": "' + "k" * 40 + '", "subject": ""}]}', "needs a subject"),
        ('{"keys": [{"key": "' + "k" * 40 + '", "subject": "s", "roles": "admin"}]}', "are no list"),
        ("[" * 100_000, "no list of keys"),
        (None, "No such file"),
    ],
)
def test_a_wrong_file_of_keys_is_refused_without_telling_them(
    tmp_path: Path, content: str | None, said: str
) -> None:
    """A file that is no list of keys is an error that says why, and has no key in it."""
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PresharedKeysError, match=said) as raised:
        PresharedKeys(path)
    assert "kkkk" not in str(raised.value)
