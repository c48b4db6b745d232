"""Answering a scrape in the format and with the compression that the scraper accepts."""

import gzip
from typing import Any
from urllib.parse import parse_qs

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, gzip_accepted

from .text import write_openmetrics, write_text

# There are several ways to write names that older versions of Prometheus reject. Our names are not such names, and
# are written differently only by these two.
_ESCAPINGS = ("escaping=dots", "escaping=values")


def scrape(registry: CollectorRegistry, environ: dict[str, Any]) -> tuple[list[tuple[str, str]], bytes]:
    """Answer `GET /metrics`.

    Args:
        registry: The metrics.
        environ: The WSGI environment: `Accept` chooses between the Prometheus text format and OpenMetrics,
            `Accept-Encoding` may ask for gzip, and `name[]` in the query picks families.

    Returns:
        The headers and the body.
    """
    encode, content_type = choose_encoder(environ.get("HTTP_ACCEPT", ""))
    names = parse_qs(environ.get("QUERY_STRING", "")).get("name[]")
    source: Any = registry.restricted_registry(names) if names else registry
    headers = [("Content-Type", content_type), ("Vary", "Accept, Accept-Encoding")]
    if content_type.endswith(_ESCAPINGS) or "version=2" in content_type:
        body = encode(source)
    elif content_type.startswith("application/openmetrics-text"):
        body = write_openmetrics(source.collect())
    else:
        body = write_text(source.collect())
    if gzip_accepted(environ.get("HTTP_ACCEPT_ENCODING", "")):
        headers.append(("Content-Encoding", "gzip"))
        # The fastest level compresses the text to a twentieth; the slowest hardly does better, with eight times the
        # CPU.
        body = gzip.compress(body, 1)
    return headers, body
