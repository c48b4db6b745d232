"""Preshared keys: secrets that callers send as they are, for services that have nobody to issue tokens."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from tablestakes.crud.call import Caller
from tablestakes.edge.arrival import Arrival
from tablestakes.identity.way import bearer_of

log = structlog.get_logger()

# Keys of the documentation begin with this: everybody knows them.
EXAMPLE = "an-example-key"

# Characters. A shorter one could be guessed.
LEAST_KEY = 32


class PresharedKeysError(Exception):
    """A file of preshared keys cannot be read; the message is one line, and has no key in it."""


class PresharedKeys:
    """Finds out who calls by a key that the call has, as `authorization: Bearer <key>`.

    The file is read again when it has changed; one that is wrong then is logged, and the keys before it stay. Only
    digests of the keys are kept in memory: to look for one by its digest tells nothing of the others by its timing.

    Args:
        path: The file: `{"keys": [{"key": …, "subject": …, "roles": […], "scopes": […], "attributes": {…}}]}`.

        examples: Whether keys of the documentation are taken, too.

    Raises:
        PresharedKeysError: It cannot be read.
    """

    def __init__(self, path: Path, *, examples: bool = False) -> None:
        self._path = path
        self._examples = examples
        self._seen = self._stamp()
        self._callers = self._read()

    def __call__(self, arrival: Arrival) -> Caller | None:
        """Return who calls; None where the call has no such key."""
        given = bearer_of(arrival)
        if given is None:
            return None
        if (stamp := self._stamp()) != self._seen:
            self._seen = stamp
            try:
                self._callers = self._read()
            except PresharedKeysError as error:
                log.warning("preshared keys not renewed", reason=str(error), keys=len(self._callers))
        return self._callers.get(_digest(given))

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> dict[bytes, Caller]:
        try:
            listed = json.loads(self._path.read_bytes())["keys"]
            return dict(_entry(each, examples=self._examples) for each in listed)
        except OSError as error:
            raise PresharedKeysError(f"{self._path}: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            said = str(error) if isinstance(error, _EntryError) else "it is no list of keys in JSON"
            raise PresharedKeysError(f"{self._path}: {said}") from None


class _EntryError(ValueError):
    """An entry is wrong."""


def _entry(given: Mapping[str, Any], *, examples: bool) -> tuple[bytes, Caller]:
    key, subject = given["key"], given["subject"]
    if not isinstance(key, str) or len(key) < LEAST_KEY:
        raise _EntryError(f"a key must have at least {LEAST_KEY} characters")
    if key.startswith(EXAMPLE) and not examples:
        raise _EntryError("a key of the documentation is no secret: others could reach the service with it")
    if not isinstance(subject, str) or not subject:
        raise _EntryError("each key needs a subject")
    for name in ("roles", "scopes"):
        if not isinstance(given.get(name, []), list):
            raise _EntryError(f"the {name} of {subject} are no list")
    attributes = {str(name): str(value) for name, value in given.get("attributes", {}).items()}
    caller = Caller(subject, frozenset(given.get("roles", ())), frozenset(given.get("scopes", ())), attributes)
    return _digest(key), caller


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
