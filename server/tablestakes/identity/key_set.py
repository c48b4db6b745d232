"""The keys that sign tokens (RFC 7517), from a file or a URL: kept, renewed, and survived without."""

import asyncio
import json
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from time import monotonic
from typing import Any

import structlog
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from tablestakes.telemetry import KeySetMetrics

log = structlog.get_logger()

ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})

# Seconds: how old keys may be before they are renewed, while callers go on; and from one fetch for the sake of an
# unknown key to the next, whoever asks.
MOST_AGE, UNKNOWN_PAUSE = 300.0, 60.0
FILE_AGE = 5.0
FETCH_SECONDS, MOST_BYTES, MOST_KEYS = 5.0, 1 << 20, 100


class KeySetError(Exception):
    """A key set cannot be read; the message is one line."""


class KeySet:
    """A key set that is renewed.

    Args:
        source: The path of a file, or an https URL.
        metrics: Counts the renewals.
        clock: Returns seconds that only grow.
    """

    def __init__(self, source: str, metrics: KeySetMetrics, clock: Callable[[], float] = monotonic) -> None:
        self._source = source
        self._metrics = metrics
        self._clock = clock
        self._is_url = source.startswith(("https://", "http://"))
        self._age = MOST_AGE if self._is_url else FILE_AGE
        self._keys: dict[str, PyJWK] = {}
        self._next = 0.0
        self._next_for_unknown = 0.0
        self._renewing: asyncio.Task[None] | None = None

    def current(self, kid: str) -> PyJWK | None:
        """Return a key by its id, None where it is not, or no more, in the set; old keys are renewed meanwhile."""
        if self._clock() >= self._next:
            self._renew()
        return self._keys.get(kid)

    @property
    def only(self) -> str | None:
        """The id of the key where there is one alone: a token need not name it."""
        return next(iter(self._keys)) if len(self._keys) == 1 else None

    async def find(self, kid: str) -> PyJWK | None:
        """Return a key by its id; for one that is not known the set is fetched, once a minute at the most."""
        if (key := self.current(kid)) is not None:
            return key
        now = self._clock()
        if self._renewing is None and now >= self._next_for_unknown:
            self._next_for_unknown = now + (UNKNOWN_PAUSE if self._is_url and self._keys else 1.0)
            self._renew()
        if self._renewing is not None:
            await asyncio.wait((self._renewing,))
        return self._keys.get(kid)

    @property
    def is_empty(self) -> bool:
        """Whether no key was ever read."""
        return not self._keys

    async def load(self) -> None:
        """Read the keys for the first time.

        Raises:
            KeySetError: They cannot be read.
        """
        self._take(await asyncio.to_thread(self._read))

    def _renew(self) -> None:
        if self._renewing is None:
            self._next = self._clock() + self._age
            self._renewing = asyncio.ensure_future(self._renewed())
            self._renewing.add_done_callback(self._on_done)

    def _on_done(self, _: Any) -> None:
        self._renewing = None

    async def _renewed(self) -> None:
        try:
            self._take(await asyncio.to_thread(self._read))
        except KeySetError as error:
            # The keys that are at hand go on being good: an outage of whoever issues tokens is none of ours.
            self._metrics.failed()
            log.warning("signing keys not renewed", source=self._source, reason=str(error), keys=len(self._keys))

    def _take(self, keys: dict[str, PyJWK]) -> None:
        # A key that has not changed stays the same object, by which cached tokens know it.
        self._keys = {
            kid: self._keys[kid] if kid in self._keys and _same(self._keys[kid], key) else key
            for kid, key in keys.items()
        }
        self._next = self._clock() + self._age
        self._metrics.renewed()

    def _read(self) -> dict[str, PyJWK]:
        try:
            if self._is_url:
                request = urllib.request.Request(self._source, headers={"accept": "application/json"})  # noqa: S310
                with _OPENER.open(request, timeout=FETCH_SECONDS) as answer:
                    content = _content(answer)
            else:
                content = Path(self._source).read_bytes()
        except (OSError, ValueError, HTTPException) as error:
            said = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise KeySetError(str(said)) from None
        if len(content) > MOST_BYTES:
            raise KeySetError(f"it has more than {MOST_BYTES} bytes")
        return read_keys(content)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it could lead to a place that the setting would refuse."""

    def redirect_request(self, *_: Any) -> None:
        """Return no request, which makes the answer an error."""


_OPENER = urllib.request.build_opener(_NoRedirect)


def _content(answer: Any) -> bytes:
    """Return what is read of an answer, as far as it comes in time.

    Raises:
        TimeoutError: It did not: the timeout of a socket is that of each read alone.
    """
    until, found = monotonic() + FETCH_SECONDS, b""
    while len(found) <= MOST_BYTES and (part := answer.read1(1 << 16)):
        found += part
        if monotonic() > until:
            raise TimeoutError(f"it took longer than {FETCH_SECONDS:.0f} seconds")
    return found


def read_keys(content: bytes) -> dict[str, PyJWK]:
    """Return the keys of a JSON Web Key Set that sign with one of ALGORITHMS, by their ids.

    Others are left out, as RFC 7517, section 5 asks for, and so is one without an id where there are several.

    Raises:
        KeySetError: It is no key set, or has no such key.
    """
    try:
        listed = json.loads(content)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        listed = None
    if not isinstance(listed, list):
        raise KeySetError("it is no JSON Web Key Set")
    found: dict[str, PyJWK] = {}
    for each in listed[:MOST_KEYS]:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        try:
            key = PyJWK(each)
        except (PyJWTError, ValueError, TypeError):
            continue
        kid = each.get("kid", "" if len(listed) == 1 else None)
        if isinstance(kid, str) and key.algorithm_name in ALGORITHMS:
            found[kid] = key
    if not found:
        raise KeySetError(f"it has no key for {', '.join(sorted(ALGORITHMS))}")
    return found


def _same(one: PyJWK, other: PyJWK) -> bool:
    return bool(one._jwk_data == other._jwk_data)
