"""A failed call, as its caller sees it: the status and its details (AIP-193)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from tablestakes.errors import FieldViolation

DETAILS_KEY = "grpc-status-details-bin"


@dataclass
class ApiError(Exception):
    """An answer other than OK.

    Attributes:
        code: The status code.
        message: What the server says to developers.
        reason: The cause for programs (ErrorInfo); "" where it was not the service that answered.
        metadata: The values that the message names (ErrorInfo); `outcome` says of a write whether it took effect.
        violations: The fields at fault (BadRequest).
        retry_delay: Seconds after which the same call may succeed (RetryInfo), None without one.
    """

    code: grpc.StatusCode
    message: str
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()
    retry_delay: float | None = None

    def __str__(self) -> str:
        return f"{self.code.name} {self.reason}: {self.message}"

    @staticmethod
    def of(error: Any) -> "ApiError":
        """Return the error of a failed call of grpc's, asynchronous or not."""
        made = ApiError(error.code(), error.details() or "")
        packed = dict(error.trailing_metadata() or ()).get(DETAILS_KEY, b"")
        info, bad, retry = (
            error_details_pb2.ErrorInfo(),
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
        )
        for detail in status_pb2.Status.FromString(packed if isinstance(packed, bytes) else b"").details:
            if detail.Unpack(info):
                made.reason, made.metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(bad):
                made.violations = tuple(
                    FieldViolation(each.field, each.description, each.reason) for each in bad.field_violations
                )
            elif detail.Unpack(retry):
                made.retry_delay = retry.retry_delay.ToTimedelta().total_seconds()
        return made
