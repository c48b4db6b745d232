"""Reading the status of a failed call as a client does: from its trailing metadata."""

from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2, status_pb2

from tablestakes.reasons import REASONS

KNOWN = {reason.name: reason for reason in REASONS}


@dataclass(frozen=True)
class Refusal:
    """The status of a failed call, as a client reads it.

    Attributes:
        code: The status code.
        message: Its message.
        info: The ErrorInfo that every error must have.
        fields: The description of each field at fault, by its path; empty without a BadRequest.
        reasons: The reason of each of them for programs, by the same path.
        retry_delay: Seconds to wait, or None without a RetryInfo.
    """

    code: grpc.StatusCode
    message: str
    info: error_details_pb2.ErrorInfo
    fields: dict[str, str]
    reasons: dict[str, str]
    retry_delay: float | None


def refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """Return what a call's error says, and check what AIP-193 and the registry of reasons say of it."""
    details = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    status = status_pb2.Status.FromString(details)
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    types = [detail.type_url for detail in status.details]
    assert len(types) == len(set(types)), "each type of detail at most once"
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    for detail in status.details:
        assert any(detail.Unpack(message) for message in (info, bad, retry)), detail.type_url
    assert info.domain, "every error has an ErrorInfo"
    assert info.reason == info.reason.upper()
    assert len(info.reason) <= 63
    if (known := KNOWN.get(info.reason)) is not None:
        assert error.code() in known.codes, info.reason
        assert set(known.metadata) <= set(info.metadata), info.reason
        assert known.again in (None, retry.HasField("retry_delay")), info.reason
    return Refusal(
        code=error.code(),
        message=status.message,
        info=info,
        fields={violation.field: violation.description for violation in bad.field_violations},
        reasons={violation.field: violation.reason for violation in bad.field_violations},
        retry_delay=retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
    )
