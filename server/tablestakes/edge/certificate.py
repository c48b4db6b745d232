"""The certificate that the server shows: from files that are looked at again at each handshake."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import grpc
import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tablestakes.telemetry import CertificateMetrics

log = structlog.get_logger()


class CertificateError(Exception):
    """Files are no certificate with its key; the message is one line."""


@dataclass(frozen=True)
class Files:
    """The paths of a certificate.

    Attributes:
        certificate: The chain in PEM form, the server's own first.
        key: Its private key, which may be the same file.
        authority: The authorities of callers' certificates; "" where callers need none.
    """

    certificate: str
    key: str
    authority: str = ""

    @property
    def paths(self) -> Sequence[str]:
        """The paths of those that there are."""
        return [each for each in (self.certificate, self.key, self.authority) if each]


class Certificate:
    """A certificate whose files may change.

    A pair that does not fit together, or is written half, is kept out: the one before goes on. It is logged once
    for each change of the files, and counted.

    Args:
        files: The paths.
        metrics: Counts the changes, and shows when the certificate expires.

    Raises:
        CertificateError: The files are no certificate with its key.
    """

    def __init__(self, files: Files, metrics: CertificateMetrics) -> None:
        self._files = files
        self._metrics = metrics
        self._lock = Lock()
        self._stamp = self._look()
        self._configuration, expires = self._read()
        metrics.loaded(expires)

    def credentials(self) -> grpc.ServerCredentials:
        """Return the credentials of a server: with an authority every caller must have a certificate of it."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration,
            self.renewed,  # type: ignore[arg-type] # None for no change is left out of the stubs
            require_client_authentication=bool(self._files.authority),
        )

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the certificate if it has changed, None if it has not; gRPC's core asks at each handshake.

        It is called on threads of the core, and never raises: that would end the handshake.
        """
        with self._lock:
            stamp = self._look()
            if stamp == self._stamp:
                return None
            self._stamp = stamp
            try:
                self._configuration, expires = self._read()
            except CertificateError as error:
                self._metrics.refused()
                log.warning("certificate not renewed", reason=str(error), certificate=self._files.certificate)
                return None
            self._metrics.loaded(expires)
            log.info("certificate renewed", certificate=self._files.certificate, expires=expires)
            return self._configuration

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(map(_stamp, self._files.paths))

    def _read(self) -> tuple[grpc.ServerCertificateConfiguration, float]:
        try:
            chain, key = Path(self._files.certificate).read_bytes(), Path(self._files.key).read_bytes()
            authority = Path(self._files.authority).read_bytes() if self._files.authority else None
        except OSError as error:
            raise CertificateError(f"{error.filename}: {error.strerror}") from None
        own = _certificates(chain, self._files.certificate)[0]
        if authority is not None:
            _certificates(authority, self._files.authority)
        try:
            public = load_pem_private_key(key, None).public_key()
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise CertificateError(
                f"{self._files.key}: it is no private key in PEM form without a password"
            ) from None
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if public.public_bytes(*form) != own.public_key().public_bytes(*form):
            raise CertificateError(f"{self._files.key}: it is not the key of {self._files.certificate}")
        made = grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=authority)
        return made, own.not_valid_after_utc.timestamp()


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - at each handshake
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _certificates(content: bytes, path: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise CertificateError(f"{path}: it is no certificate in PEM form") from None
