"""Answering a scrape in the format and with the compression that the scraper accepts."""

import gzip
from collections.abc import Iterable, Iterator
from time import sleep
from typing import Any
from urllib.parse import parse_qs

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder, gzip_accepted

from .text import write_openmetrics, write_text

# There are several ways to write names that older versions of Prometheus reject. Our names are not such names, and
# are written differently only by these two.
_ESCAPINGS = ("escaping=dots", "escaping=values")
# Seconds. A thread that sleeps gives the interpreter away, for however short a time.
_PAUSE = 0.0001


def scrape(
    registry: CollectorRegistry, *, accept: str = "", accept_encoding: str = "", query: str = ""
) -> tuple[list[tuple[str, str]], bytes]:
    """Answer `GET /metrics`.

    Args:
        registry: The metrics.
        accept: The header of this name, which chooses between the Prometheus text format and OpenMetrics.
        accept_encoding: The header of this name, which may ask for gzip.
        query: The query, in which `name[]` picks families.

    Returns:
        The headers and the body.
    """
    encode, content_type = choose_encoder(accept)
    names = parse_qs(query).get("name[]")
    source: Any = registry.restricted_registry(names) if names else registry
    headers = [("Content-Type", content_type), ("Vary", "Accept, Accept-Encoding")]
    if content_type.endswith(_ESCAPINGS) or "version=2" in content_type:
        body = encode(source)
    elif content_type.startswith("application/openmetrics-text"):
        body = write_openmetrics(_pausing(source.collect()))
    else:
        body = write_text(_pausing(source.collect()))
    if gzip_accepted(accept_encoding):
        headers.append(("Content-Encoding", "gzip"))
        # The fastest level compresses the text to a twentieth; the slowest hardly does better, with eight times the
        # CPU.
        body = gzip.compress(body, 1)
    return headers, body


def _pausing(families: Iterable[Metric]) -> Iterator[Metric]:
    """Yield families, and let the program's event loop have the interpreter after each.

    A thread that asks for the interpreter gets it after 5 ms otherwise (`sys.getswitchinterval`), each time that it
    has waited for anything, which is several times in a call.
    """
    for family in families:
        yield family
        sleep(_PAUSE)
