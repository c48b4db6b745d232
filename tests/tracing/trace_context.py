"""What a caller sends along, to be the parent of what it calls."""

import secrets
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Caller:
    """A span of a caller.

    Attributes:
        sampled: Whether its trace is.
        trace: The id of its trace, in hexadecimal.
        span: Its own id.
    """

    sampled: bool = True
    trace: str = field(default_factory=lambda: secrets.token_hex(16))
    span: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What it sends, by W3C Trace Context."""
        return (
            ("traceparent", f"00-{self.trace}-{self.span}-0{int(self.sampled)}"),
            ("tracestate", "vendor=opaque"),
        )
