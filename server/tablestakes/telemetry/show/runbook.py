"""Showing runbooks, which are written in Markdown, so that a target of the live page can link to its section."""

import html
import re

from .page import SECURITY_HEADERS

_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_STYLE = (
    "body { max-width: 960px; margin: 2em auto; padding: 0 1em; font: 15px/1.5 system-ui, sans-serif }"
    " pre { white-space: pre-wrap } :target { text-decoration: underline }"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


def anchors(markdown: str) -> list[str]:
    """Return the anchor of each section of the second level, as GitHub and the annotations of alerts have it."""
    return [title.strip().lower().replace(" ", "-") for title in _HEADING.findall(markdown)]


def runbook_page(markdown: str) -> tuple[list[tuple[str, str]], bytes]:
    """Return the headers and the body of a page that has each section of a Markdown text under its anchor.

    The text itself is shown as it is written, because nothing here interprets more of Markdown.
    """
    first, *rest = _HEADING.split(markdown)
    parts = [f"<pre>{html.escape(first)}</pre>"]
    for anchor, title, text in zip(anchors(markdown), rest[::2], rest[1::2], strict=True):
        parts.append(
            f'<h2 id="{html.escape(anchor)}">{html.escape(title)}</h2><pre>{html.escape(text.strip())}</pre>'
        )
    head = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f"<title>Runbooks</title><style>{_STYLE}</style>"
    )
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", _POLICY),
        *SECURITY_HEADERS,
    ]
    return headers, f"{head}{''.join(parts)}</html>\n".encode()
