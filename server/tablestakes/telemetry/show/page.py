"""The page for a person without Grafana: one file, and the headers that keep it from being anything else."""

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path

_FILE = Path(__file__).with_name("live.html")
_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)

GUARDED = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    # What other sites embed is not this.
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""Headers of whatever shows SQL."""


@cache
def page() -> tuple[list[tuple[str, str]], bytes]:
    """Return the headers of the page, and the page.

    It runs its own script and style, known by their hashes (Content Security Policy Level 3), and talks to
    nobody but the server that it came from.
    """
    text = _FILE.read_text(encoding="utf-8")
    hashes = {tag: b64encode(sha256(inline.encode()).digest()).decode() for tag, inline in _INLINE.findall(text)}
    policy = (
        "default-src 'none'",
        f"script-src 'sha256-{hashes['script']}'",
        f"style-src 'sha256-{hashes['style']}'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", "; ".join(policy)),
        *GUARDED,
    ]
    return headers, text.encode()
