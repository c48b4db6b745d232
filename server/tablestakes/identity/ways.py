"""The ways to find out who calls that the settings of a service give."""

from pathlib import Path

import structlog

from tablestakes.identity.certificate import by_certificate
from tablestakes.identity.claims import Claims, read_attributes
from tablestakes.identity.key_set import KeySet, KeySetError
from tablestakes.identity.preshared import PresharedKeys, PresharedKeysError
from tablestakes.identity.token import Tokens
from tablestakes.identity.way import Way
from tablestakes.settings import Settings, SettingsError, flag, listens_to_itself
from tablestakes.telemetry import KeySetMetrics

log = structlog.get_logger()

NAMES = ("preshared_key", "token", "certificate")
"""The names of the ways in metrics."""


async def ways_of(settings: Settings, metrics: KeySetMetrics) -> list[tuple[str, Way]]:
    """Return the ways by name, in the order in which they are tried.

    Args:
        settings: The settings.
        metrics: Counts the renewals of the keys that sign tokens.

    Raises:
        SettingsError: A file of keys cannot be read. A URL need not answer at the start.
    """
    found: list[tuple[str, Way]] = []
    alone = settings.insecure or listens_to_itself(settings)
    if settings.preshared_keys:
        try:
            found.append(("preshared_key", PresharedKeys(Path(settings.preshared_keys), examples=alone)))
        except PresharedKeysError as error:
            raise _wrong(settings, "preshared_keys", error) from None
    if settings.jwks:
        keys = KeySet(settings.jwks, metrics)
        try:
            await keys.load()
        except KeySetError as error:
            if not settings.jwks.startswith("http"):
                raise _wrong(settings, "jwks", error) from None
            metrics.failed()
            log.warning("signing keys not read", source=settings.jwks, reason=str(error))
        tokens = Tokens(
            keys,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            claims=Claims(settings.jwt_roles_claim, read_attributes(settings.jwt_attributes)),
            leeway=settings.jwt_leeway,
        )
        found.append(("token", tokens))
    if settings.tls_client_ca:
        # Last: a program behind its own certificate may call for a user, whose token it sends.
        found.append(("certificate", by_certificate))
    return found


def _wrong(settings: Settings, name: str, error: Exception) -> SettingsError:
    return SettingsError(f"{flag(name)} ({settings.variable(name)}): {error}")
