"""The port of the metrics: who may read it, how it answers probes, and that no client can exhaust it."""

import base64
import contextlib
import http.client
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric

from tablestakes.telemetry import Access, MetricsServer, serve
from tablestakes.telemetry.show import http_server
from tablestakes.telemetry.show.http_server import MAX_CONNECTIONS, MAX_HEAD
from tablestakes.telemetry.show.turns import MAX_WAITING
from tests.telemetry.http_request import request

TOKEN = "a-token-of-the-tests"


@contextlib.contextmanager
def serving(registry: CollectorRegistry, **options: object) -> Iterator[MetricsServer]:
    """Run a server of a registry."""
    server = serve("127.0.0.1", 0, registry, **options)  # type: ignore[arg-type]
    yield server
    server.close()


class Counting:
    """A collector that counts its scrapes, and waits in each until it may go on."""

    def __init__(self) -> None:
        self.scrapes = 0
        self.may_go_on = threading.Event()
        self.entered = threading.Event()
        self.may_go_on.set()

    def collect(self) -> Iterator[Metric]:
        """Yield how many scrapes there were."""
        self.entered.set()
        assert self.may_go_on.wait(30)
        self.scrapes += 1
        yield GaugeMetricFamily("scrapes", "Scrapes.", value=self.scrapes)

    def describe(self) -> Iterator[Metric]:
        """Yield nothing."""
        yield from ()


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1:9464",
            "10.1.2.3",
            "[::1]:9464",
            "[2001:db8::1]",
            "localhost:9464",
            "LOCALHOST.",
            "tablestakes:9464",
        ),
        *(
            "tablestakes.shop.svc:9464",
            "tablestakes.shop.svc.cluster.local",
            "metrics.example.com",
            "a.b.example.net",
        ),
    ],
)
def test_known_names_are_answered(registry: CollectorRegistry, host: str) -> None:
    """IP addresses, names of one label, names of Kubernetes and those of the setting are answered."""
    access = Access(hosts=("*.svc", "*.cluster.local", "Metrics.example.com", "*.example.net"))
    with serving(registry, access=access) as server:
        assert request(server, "/metrics", Host=host)[0] == 200


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/nothing"])
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:9464", "svc.evil.example", "example.net", ""]
)
def test_a_name_of_a_foreign_page_is_refused(registry: CollectorRegistry, host: str, path: str) -> None:
    """A request under a name that another site can have is answered with 421 (RFC 9110, 15.5.20)."""
    with serving(registry, access=Access(hosts=("*.example.net",)), probes={"/healthz": str}) as server:
        assert request(server, path, Host=host)[0] == 421


@settings(deadline=None, max_examples=30)
@given(labels=st.lists(st.from_regex(r"[a-z0-9_-]{1,8}", fullmatch=True), min_size=2, max_size=5))
def test_no_other_name_is_known(labels: list[str]) -> None:
    """A name with a dot that is neither an address nor below a name of the setting is refused."""
    name = ".".join(labels)
    known = labels[-1] == "svc" or all(label.isdecimal() and int(label) < 256 for label in labels)
    if not known:
        assert Access(hosts=("*.svc",)).refuse_host(f"{name}:80") is not None


def test_every_name_can_be_allowed(registry: CollectorRegistry) -> None:
    """`*` allows every name."""
    with serving(registry, access=Access(hosts=("*",))) as server:
        assert request(server, "/metrics", Host="metrics.example.com")[0] == 200


def test_a_token_is_required_but_for_probes(registry: CollectorRegistry) -> None:
    """With a token, only requests that have it, as a bearer or as a password, are answered; probes need none."""
    basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    with serving(registry, access=Access(token=TOKEN), probes={"/healthz": str}) as server:
        for path in ("/", "/metrics", "/nothing"):
            status, headers, body = request(server, path)
            assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="metrics", Basic realm="metrics"')
            assert TOKEN.encode() not in body
        for wrong in (
            f"Bearer {TOKEN}x",
            "Bearer",
            "Bearer ",
            TOKEN,
            "Basic !",
            f"Basic {TOKEN}",
            f"Digest {TOKEN}",
        ):
            assert request(server, "/metrics", Authorization=wrong)[0] == 401, wrong
        for right in (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Basic {basic}"):
            assert request(server, "/metrics", Authorization=right)[0] == 200, right
        assert request(server, "/healthz")[0] == 200
    assert TOKEN not in repr(Access(token=TOKEN))


def test_tls(registry: CollectorRegistry, tmp_path: Path) -> None:
    """With a certificate the port speaks TLS, and a client that does not is turned away without harm."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command: tuple[str | Path, ...] = (
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-out", certificate, "-keyout", key),
    )
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    subprocess.run(command, capture_output=True, check=True)
    with serving(registry, access=Access(certificate=str(certificate), key=str(key))) as server:
        with socket.create_connection((server.host, server.port)) as plain:
            plain.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert not plain.recv(100).startswith(b"HTTP")
        context = ssl.create_default_context(cafile=str(certificate))
        client = http.client.HTTPSConnection(server.host, server.port, context=context, timeout=30)
        for _ in range(2):  # the connection is kept
            client.request("GET", "/metrics")
            response = client.getresponse()
            assert (response.status, bool(response.read())) == (200, False)
        client.close()
    with pytest.raises(OSError, match=r"."):
        serve("127.0.0.1", 0, registry, access=Access(certificate=str(key)))


def test_probes_say_why(registry: CollectorRegistry) -> None:
    """A probe is 200 while it has no reason, and 503 with its reason in one line."""
    reasons = [""]
    with serving(registry, probes={"/readyz": lambda: reasons[0]}) as server:
        assert request(server, "/readyz")[::2] == (200, b"ok\n")
        reasons[0] = "draining"
        assert request(server, "/readyz")[::2] == (503, b"draining\n")
        assert request(server, "/readyz", "POST")[0] == 405


def test_a_connection_is_kept(registry: CollectorRegistry) -> None:
    """HTTP/1.1 keeps a connection for the next scrape; HTTP/1.0, a body and `Connection: close` end it."""
    with serving(registry) as server, socket.create_connection((server.host, server.port), timeout=30) as client:
        for ends in (b"", b"", b"Connection: close\r\n"):
            client.sendall(b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n" + ends + b"\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
        assert client.recv(4096) == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET http://localhost/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nx: " + b"x" * MAX_HEAD, b"431"),
    ],
)
def test_what_is_not_http_is_a_client_error(registry: CollectorRegistry, sent: bytes, status: bytes) -> None:
    """A request that is malformed, has no Host or is too long is refused, and ends its connection."""
    with serving(registry) as server, socket.create_connection((server.host, server.port), timeout=30) as client:
        client.sendall(sent)
        answer = b"".join(iter(lambda: client.recv(4096), b""))
        assert answer.split(b" ")[1] == status
        assert b"Connection: close" in answer


def test_slow_connections_hold_no_thread_and_keep_no_scraper_out(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Far more silent connections than are allowed start no thread; the oldest are closed, and scrapes answered."""
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 2.0)
    threads = threading.active_count()
    with serving(registry) as server, contextlib.ExitStack() as open_:
        slow = [
            open_.enter_context(socket.create_connection((server.host, server.port), timeout=30))
            for _ in range(3 * MAX_CONNECTIONS)
        ]
        for each in slow:
            with contextlib.suppress(OSError):  # it is closed already
                each.sendall(b"GET /met")
        assert request(server, "/metrics")[0] == 200
        assert threading.active_count() == threads + 1
        with contextlib.suppress(ConnectionError):
            assert slow[0].recv(1) == b""
        assert slow[-1].recv(1) == b"", "the newest one too is closed in the end"


def test_scrapes_that_wait_share_a_later_rendering(registry: CollectorRegistry) -> None:
    """However many ask while a scrape is rendered, there is one more rendering, which begins after they asked."""
    counting = Counting()
    registry.register(counting)
    answers: list[bytes] = []
    with serving(registry) as server:
        counting.may_go_on.clear()
        counting.entered.clear()
        readers = [
            threading.Thread(target=lambda: answers.append(request(server, "/metrics")[2])) for _ in range(9)
        ]
        readers[0].start()
        assert counting.entered.wait(30)
        for reader in readers[1:]:
            reader.start()
        counting.may_go_on.set()
        for reader in readers:
            reader.join()
        before = counting.scrapes
        assert before <= len(readers)
        assert float(request(server, "/metrics")[2].split()[-1]) == before + 1, "a later scrape is rendered anew"
    found = sorted(float(answer.split()[-1]) for answer in answers)
    assert found[0] == 1
    assert found[1] >= 2, "no answer is older than its question"
    assert before < len(readers) or found == sorted(set(found))
    assert MAX_WAITING < MAX_CONNECTIONS
