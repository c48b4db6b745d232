"""The trace context that a caller sends, so that its span is the parent of the RPC's span."""

import secrets
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Caller:
    """The span of a caller.

    Attributes:
        sampled: Whether its trace is sampled.
        trace: The id of its trace, in hexadecimal.
        span: The id of the span, in hexadecimal.
    """

    sampled: bool = True
    trace: str = field(default_factory=lambda: secrets.token_hex(16))
    span: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata that the caller sends, by W3C Trace Context."""
        return (
            ("traceparent", f"00-{self.trace}-{self.span}-0{int(self.sampled)}"),
            ("tracestate", "vendor=opaque"),
        )
