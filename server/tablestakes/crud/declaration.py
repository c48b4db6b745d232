"""The error that a wrong declaration is at start, and the hint that goes with it."""

import difflib
from collections.abc import Iterable


class DeclarationError(Exception):
    """A declaration, a model and a proto do not fit together; the message names the culprit and a likely fix."""


def likely(word: str, choices: Iterable[str]) -> str:
    """Return a hint at the choice that a misspelt word most resembles, or at all of them."""
    known = sorted(choices)
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(known)}"
