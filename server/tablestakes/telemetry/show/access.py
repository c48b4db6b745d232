"""Who may read the metrics: the names under which they are asked for, a token, and TLS."""

import binascii
import hmac
import ssl
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address

HOSTS = ("*.localhost", "*.svc", "*.cluster.local")
"""Names that nobody can register: RFC 6761, section 6.3, and the two of Kubernetes."""

# Both schemes, so that a browser asks its user for a password, which is the token.
_CHALLENGE = ("WWW-Authenticate", 'Bearer realm="metrics", Basic realm="metrics"')


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused.

    Attributes:
        status: The status of the response.
        reason: One line for its body.
        headers: Further headers.
    """

    status: HTTPStatus
    reason: str
    headers: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Access:
    """Who may read the metrics.

    A page of another site can have its own name resolve to this server (DNS rebinding), and could then read what
    the server shows. Its requests carry that name in `Host`, so only known names are answered: IP addresses and
    names of one label, which no site can have, and `hosts`.

    Attributes:
        hosts: Host names beside those, without ports; `*.` at the beginning stands for one or more labels, `*`
            alone for every name.
        token: What a client must send as `Authorization: Bearer <token>` (RFC 6750), or as the password of HTTP
            Basic (RFC 7617); "" for no authorization.
        certificate: The path of a certificate chain in PEM form, "" for HTTP without TLS.
        key: The path of its private key.
    """

    hosts: Sequence[str] = HOSTS
    token: str = field(default="", repr=False)
    certificate: str = ""
    key: str = ""

    def refuse_host(self, host: str | None) -> Refusal | None:
        """Return why a request is refused for its `Host`, None if it is not.

        Args:
            host: The value of the header; None without one, as only HTTP/1.0 may leave it out, and no browser does.
        """
        if host is None or self._knows(_name(host)):
            return None
        return Refusal(HTTPStatus.MISDIRECTED_REQUEST, "this name of the server is not among its allowed hosts")

    def refuse_caller(self, headers: Mapping[str, str]) -> Refusal | None:
        """Return why a request is refused for its lack of the token, None if it is not.

        Args:
            headers: The headers by lower-case name.
        """
        if not self.token or hmac.compare_digest(
            _credential(headers.get("authorization", "")), self.token.encode()
        ):
            return None
        return Refusal(HTTPStatus.UNAUTHORIZED, "the token of the metrics is required", (_CHALLENGE,))

    def open_tls(self) -> ssl.SSLContext | None:
        """Return the context of a server with the certificate, TLS 1.2 or later; None without a certificate.

        Raises:
            OSError: A file cannot be read, or is not a certificate or its key.
        """
        if not self.certificate:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key or None)
        return context

    def _knows(self, name: str) -> bool:
        if "." not in name or _is_address(name):
            return name != ""
        return any(
            pattern in ("*", name) or (pattern.startswith("*.") and name.endswith(pattern[1:]))
            for pattern in (host.lower() for host in self.hosts)
        )


def _name(host: str) -> str:
    """Return the name in a `Host` header, without its port, its brackets and the dot of the root."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _credential(authorization: str) -> bytes:
    """Return the token of an `Authorization` header, b"" if it has none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            return b64decode(value.strip(), validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return value.strip().encode("latin-1") if scheme.lower() == "bearer" else b""
