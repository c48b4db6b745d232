"""The certificate by which a caller proves who it is: mTLS."""

from collections.abc import Sequence
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import NameOID

from tablestakes.crud.call import Caller
from tablestakes.edge.arrival import Arrival

MOST_CERTIFICATES = 10_000
SPIFFE = "spiffe://"


def by_certificate(arrival: Arrival) -> Caller | None:
    """Return the caller of a connection's certificate, which the handshake has verified; None without one.

    Its subject is the SPIFFE id, or else the first DNS name, or else the common name. The attributes `spiffe`,
    `dns` and `common_name` are those that there are.
    """
    if "authorization" in arrival.metadata:
        return None  # credentials that nobody knew are not made good by a certificate
    found = arrival.certificate
    return None if found is None else caller_of(found)


@lru_cache(MOST_CERTIFICATES)
def caller_of(pem: bytes) -> Caller | None:
    """Return the caller of a certificate in PEM form; None where it names nobody."""
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = None
    uris = [] if names is None else names.get_values_for_type(x509.UniformResourceIdentifier)
    hosts = [] if names is None else names.get_values_for_type(x509.DNSName)
    common = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    found = {
        "spiffe": _first([uri for uri in uris if uri.startswith(SPIFFE)]),
        "dns": _first(hosts),
        "common_name": _first(common),
    }
    attributes = {name: value for name, value in found.items() if value}
    subject = next(iter(attributes.values()), None)
    return None if subject is None else Caller(subject, attributes=attributes)


def _first(values: Sequence[str]) -> str | None:
    return values[0] if values else None
