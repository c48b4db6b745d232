"""TLS to PostgreSQL, with the modes of libpq's `sslmode` and certificates from files."""

import ssl
from typing import Any

from tablestakes.settings import Settings, SettingsError, flag

VERIFY_FULL, VERIFY_CA, DISABLE = "verify-full", "verify-ca", "disable"


def tls_options(settings: Settings) -> dict[str, Any]:
    """Return the driver's option for TLS, none where the URL's own `sslmode` says it all.

    With an authority (`database_ca`) the server's certificate is verified: against the name of the host that is
    connected to, each of several by its own, unless `sslmode` is `verify-ca` or `require`, which with an authority
    is the same (libpq, "SSL Support").

    Raises:
        SettingsError: A file cannot be read, or is no certificate or not its key.
    """
    if not settings.database_ca and not settings.database_certificate:
        return {}
    mode = str(settings.url.query.get("ssl", VERIFY_FULL if settings.database_ca else "require"))
    if mode == DISABLE:
        raise SettingsError(
            f"{flag('database_ca')}: the URL says sslmode=disable, and then no certificate is of use"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = mode == VERIFY_FULL
    context.verify_mode = ssl.CERT_REQUIRED if settings.database_ca else ssl.CERT_NONE
    try:
        name = "database_ca"
        if settings.database_ca:
            context.load_verify_locations(settings.database_ca)
        elif mode in (VERIFY_CA, VERIFY_FULL):
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_default_certs()
        name = "database_certificate"
        if settings.database_certificate:
            context.load_cert_chain(settings.database_certificate, settings.database_key or None)
    except OSError as error:
        problem = error.strerror or str(error)
        raise SettingsError(f"{flag(name)} ({settings.variable(name)}): {problem}") from None
    return {"ssl": context}
