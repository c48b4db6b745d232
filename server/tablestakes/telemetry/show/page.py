"""The live page for people without Grafana, and the headers that restrict it."""

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path

_FILE = Path(__file__).with_name("live.html")
_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)

SECURITY_HEADERS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    # Other sites must not embed it.
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""The headers of every response that shows SQL."""


@cache
def page() -> tuple[list[tuple[str, str]], bytes]:
    """Return the headers and the body of the page.

    Its policy (Content Security Policy Level 3) allows only its own script and style, identified by their hashes,
    and requests only to the server that it came from.
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
        *SECURITY_HEADERS,
    ]
    return headers, text.encode()
