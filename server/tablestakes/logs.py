"""How the service logs: lines of JSON for machines, or lines in colour for a terminal, on standard error."""

import logging
import sys
import time

import structlog
from structlog.typing import Processor

# Seconds in which a library says the same thing once.
SPARING_SECONDS = 60.0


class Sparing(logging.Filter):
    """Lets what a library says over and over pass once in a while: a collector that is away fails every batch.

    Args:
        name: The library's logger, with all that is below it.
        seconds: How long the same line of the same logger is held back.
    """

    def __init__(self, name: str, seconds: float = SPARING_SECONDS) -> None:
        super().__init__(name)
        self._seconds = seconds
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is to be logged."""
        if not super().filter(record):
            return True
        # Before its values are filled in, so there are as many as there are calls in the library's source.
        line, now = (record.name, str(record.msg)), time.monotonic()
        if now - self._said.get(line, -self._seconds) < self._seconds:
            return False
        self._said[line] = now
        return True


def configure(level: str, *, json: bool | None = None) -> None:
    """Send everything that is logged, by structlog and by the standard library, through one formatter.

    Args:
        level: The least that is logged: debug, info, warning or error.
        json: Whether to log JSON; None for JSON unless standard error is a terminal.
    """
    as_json = not sys.stderr.isatty() if json is None else json
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_json:
        final += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # Frames and no more: a traceback with the values of locals would show requests and rows.
        plain = structlog.dev.plain_traceback
        final.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain))
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Sparing("opentelemetry"))
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=final, foreign_pre_chain=shared))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Their lines at INFO and below are of interest to their own developers.
    for noisy in ("aiosqlite", "alembic", "asyncio", "grpc"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
