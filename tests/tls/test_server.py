"""TLS of the server over real sockets: who is let in, and which certificate is shown."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from marketplace.v1 import user_pb2, user_pb2_grpc

from marketplace_service import SERVICE
from tablestakes import Caller, Method
from tablestakes.app import App
from tablestakes.command import CommandError
from tablestakes.edge.arrival import Arrival
from tablestakes.edge.ask_health import ask_health
from tablestakes.edge.certificate import Files
from tablestakes.settings import SettingsError
from tablestakes.testing.serving import serving, settings_for
from tests.certificates import Authority, Signed

HOST = "service.test"


class Site:
    """Certificates in a folder, and the server that shows them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority()
        self.show(self.authority.sign("service", dns=(HOST,), addresses=("127.0.0.1",)))

    def show(self, signed: Signed) -> None:
        """Write the server's certificate and key."""
        self.signed = signed
        self.certificate, self.key = signed.write(self.folder)

    def settings(self, **given: Any) -> Any:
        """Return the settings of a server that shows the certificate."""
        url = f"sqlite+aiosqlite:///{self.folder}/app.db"
        own = {"tls_certificate": str(self.certificate), "tls_key": str(self.key)}
        return settings_for(SERVICE, url, **own | given)

    def channel(self, app: App, *, own: Signed | None = None, trusted: bytes | None = None) -> grpc.aio.Channel:
        """Return a connection that verifies the server's certificate."""
        roots = trusted or self.authority.certificate
        pair = (None, None) if own is None else (own.key, own.certificate)
        return grpc.aio.secure_channel(app.address, grpc.ssl_channel_credentials(roots, *pair))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A certificate of this test's own."""
    return Site(tmp_path)


async def is_served(channel: grpc.aio.Channel) -> bool:
    """Return whether a call on a new connection is answered."""
    async with channel:
        try:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
    return True


async def test_the_server_shows_its_certificate_and_speaks_nothing_older_than_tls_1_2(site: Site) -> None:
    """A client that trusts the authority is served; one without TLS, of another trust or with TLS 1.1 is not."""
    async with serving(SERVICE, site.settings()) as app:
        assert await is_served(site.channel(app))
        assert not await is_served(site.channel(app, trusted=Authority("another").certificate))
        assert not await is_served(grpc.aio.insecure_channel(app.address))
        host, _, port = app.address.rpartition(":")
        for oldest, newest, good in (
            (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3, True),
            (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, False),
        ):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            # A client of today would refuse to speak it by itself.
            context.set_ciphers("ALL:@SECLEVEL=0")
            with nullcontext() if good else pytest.warns(DeprecationWarning, match="TLS"):
                context.minimum_version, context.maximum_version = oldest, newest
            context.set_alpn_protocols(["h2"])
            assert await _shakes_hands(host, int(port), context) is good


async def _shakes_hands(host: str, port: int, context: ssl.SSLContext) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=HOST)
    except (ssl.SSLError, ConnectionError):
        return False
    writer.close()
    return True


async def test_a_new_certificate_is_shown_and_a_bad_one_is_kept_out(site: Site) -> None:
    """New files are taken at the next handshake; half-written or mismatched ones are counted, and left."""
    async with serving(SERVICE, site.settings()) as app:

        def metric(name: str, **labels: str) -> float:
            return app.registry.get_sample_value(f"rpc_server_certificate_{name}", labels) or 0.0

        expires = metric("expiry_timestamp_seconds")
        assert await is_served(site.channel(app))
        good = site.signed
        other = site.authority.sign("service", dns=(HOST,), addresses=("127.0.0.1",), days=9)
        bad = (
            (good.certificate[: len(good.certificate) // 2], good.key),
            (other.certificate, good.key),
            (good.certificate, b"no key"),
            (b"", b""),
        )
        for refused, (certificate, key) in enumerate(bad, start=1):
            site.certificate.write_bytes(certificate)
            site.key.write_bytes(key)
            assert await is_served(site.channel(app))
            assert metric("loads_total", error_type="refused") == refused
            assert metric("expiry_timestamp_seconds") == expires
        site.key.unlink()
        assert await is_served(site.channel(app))
        anew = Authority("anew")
        site.show(anew.sign("service", dns=(HOST,), addresses=("127.0.0.1",), days=9))
        assert await is_served(site.channel(app, trusted=anew.certificate))
        assert metric("loads_total", error_type="") == 2
        assert metric("expiry_timestamp_seconds") > expires
        assert not await is_served(site.channel(app))


@asynccontextmanager
async def who_calls(site: Site, found: list[Caller], **given: Any) -> AsyncIterator[App]:
    """Serve with mTLS, and note who calls."""

    def note(arrival: Arrival, _: Method) -> None:
        found.append(arrival.caller)

    authority = site.authority.write(site.folder / "authority.pem")
    service = replace(SERVICE, gates=lambda _: (note,))
    async with serving(service, site.settings(tls_client_ca=str(authority), policy="on", **given)) as app:
        yield app


@pytest.mark.parametrize(
    ("names", "subject", "attributes"),
    [
        (
            {"common_name": "c", "dns": ("d.test",), "uris": ("https://x.test", "spiffe://trust.test/shop")},
            "spiffe://trust.test/shop",
            {"spiffe": "spiffe://trust.test/shop", "dns": "d.test", "common_name": "c"},
        ),
        ({"common_name": "c", "dns": ("d.test", "e.test")}, "d.test", {"dns": "d.test", "common_name": "c"}),
        ({"common_name": "orders"}, "orders", {"common_name": "orders"}),
    ],
)
async def test_a_callers_certificate_says_who_calls(
    site: Site, names: dict[str, Any], subject: str, attributes: dict[str, str]
) -> None:
    """With mTLS the caller is the SPIFFE id, or else the DNS name, or else the common name of its certificate."""
    found: list[Caller] = []
    async with who_calls(site, found) as app, site.channel(app, own=site.authority.sign(**names)) as channel:
        stub: Any = user_pb2_grpc.UserServiceStub(channel)
        await stub.ListUsers(user_pb2.ListUsersRequest(), timeout=20)
    assert [each.subject for each in found] == [subject]
    assert dict(found[0].attributes) == attributes


async def test_credentials_that_nobody_knows_are_not_made_good_by_a_certificate(site: Site) -> None:
    """A caller with a good certificate and an unknown key is refused, and not let in by the certificate."""
    found: list[Caller] = []
    keys = site.folder / "keys.json"
    keys.write_text('{"keys": []}')
    async with (
        who_calls(site, found, preshared_keys=str(keys)) as app,
        site.channel(app, own=site.authority.sign("orders")) as channel,
    ):
        stub: Any = user_pb2_grpc.UserServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.ListUsers(user_pb2.ListUsersRequest(), metadata=(("authorization", "Bearer unknown"),))
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert not found


async def test_with_mtls_nobody_comes_in_without_a_certificate_of_the_authority(site: Site) -> None:
    """A caller without a certificate, or with one of another authority, does not get through the handshake."""
    async with who_calls(site, []) as app:
        assert await is_served(site.channel(app, own=site.authority.sign("caller")))
        assert not await is_served(site.channel(app))
        assert not await is_served(site.channel(app, own=Authority("another").sign("caller")))
        assert not await is_served(site.channel(app, own=site.authority.sign("caller", days=-1)))


async def test_the_health_command_asks_a_server_with_tls(site: Site) -> None:
    """`health` reaches a server by its own certificate, with mTLS too, and fails where that is another one."""
    root = site.authority.certificate
    # A chain has the authority after the server's own certificate.
    site.certificate.write_bytes(site.signed.certificate + root)
    authority = site.authority.write(site.folder / "authority.pem")
    for more in ({}, {"tls_client_ca": str(authority)}):
        settings = site.settings(**more)
        async with serving(SERVICE, settings) as app:
            files = Files(str(site.certificate), str(site.key), str(authority) if more else "")
            assert await ask_health(app.address, "", 20.0, files) == "SERVING"
            (site.folder / "other").mkdir(exist_ok=True)
            other = Site(site.folder / "other")
            with pytest.raises(CommandError, match="does not answer"):
                await ask_health(app.address, "", 1.0, Files(str(other.certificate), str(other.key)))


@pytest.mark.parametrize("content", ["half", "another", "missing"])
async def test_a_server_does_not_start_with_a_bad_certificate(site: Site, content: str) -> None:
    """At the start a certificate that is none, or not the key's, is an error that names its setting."""
    settings = site.settings()
    if content == "half":
        site.certificate.write_bytes(site.signed.certificate[:100])
    elif content == "another":
        site.key.write_bytes(site.authority.sign("x").key)
    else:
        site.key.unlink()
    with pytest.raises(SettingsError, match="--tls-certificate"):
        async with serving(SERVICE, settings):
            pass


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "example.com:0"])
async def test_without_tls_nobody_else_is_listened_to(tmp_path: Path, listen: str) -> None:
    """An address that others reach is refused without TLS, and `--insecure` is named."""
    settings = settings_for(SERVICE, f"sqlite+aiosqlite:///{tmp_path}/app.db", listen=listen)
    with pytest.raises(SettingsError, match="--insecure"):
        async with serving(SERVICE, settings):
            pass


@pytest.mark.parametrize("given", [{"listen": "127.0.0.9:0"}, {"listen": "0.0.0.0:0", "insecure": "true"}])
async def test_this_machine_and_insecure_are_listened_to(tmp_path: Path, given: dict[str, str]) -> None:
    """A loopback address needs no TLS, and any does not where it is asked for."""
    settings = settings_for(SERVICE, f"sqlite+aiosqlite:///{tmp_path}/app.db", **given)
    async with serving(SERVICE, settings) as app:
        assert await is_served(
            grpc.aio.insecure_channel(
                f"127.0.0.1:{app.address.rpartition(':')[2]}" if "insecure" in given else app.address
            )
        )
