"""The one error that code raises on purpose: it knows its gRPC status, and all that a caller may know of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from grpc import StatusCode

# Seconds after which the same call may find a connection, or a database.
RETRY_DELAY = 1.0


@dataclass(frozen=True)
class FieldViolation:
    """One field of a request that is wrong (google.rpc.BadRequest.FieldViolation).

    Attributes:
        field: The path of the field from the request's root, as the proto spells it: `user.email`.
        description: A sentence that says what is wrong with it.
        reason: The same for a program, in UPPER_SNAKE_CASE.
    """

    field: str
    description: str
    reason: str


@dataclass
class StatusError(Exception):
    """An answer other than OK (AIP-193).

    Attributes:
        code: The canonical code.
        reason: The cause for a program, in UPPER_SNAKE_CASE, unique within the service's domain (ErrorInfo.reason).
        message: A sentence for the caller's developer. It says nothing of SQL, tables, drivers or Python.
        metadata: Every value of this request that the message names (ErrorInfo.metadata).
        violations: The fields at fault (BadRequest); empty where no field is.
        retry_delay: Seconds to wait before the same call may succeed (RetryInfo), or None.
    """

    code: StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()
    retry_delay: float | None = None

    def __str__(self) -> str:
        return f"{self.code.name} {self.reason}: {self.message}"


def invalid_fields(*violations: FieldViolation) -> StatusError:
    """Return INVALID_ARGUMENT for the fields of a request that are wrong, every one of them at once."""
    first, more = violations[0], len(violations) - 1
    return StatusError(
        StatusCode.INVALID_ARGUMENT,
        first.reason if not more else "INVALID_FIELDS",
        f"{first.field}: {first.description}" + (f" ({more} more)" if more else ""),
        metadata={"field": first.field},
        violations=violations,
    )


def invalid_field(path: str, description: str, reason: str) -> StatusError:
    """Return INVALID_ARGUMENT for one field of a request."""
    return invalid_fields(FieldViolation(path, description, reason))


def not_found(name: str) -> StatusError:
    """Return NOT_FOUND for a resource name that names nothing."""
    return StatusError(
        StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND", f"{name} does not exist.", metadata={"resource": name}
    )


def row_not_allowed(name: str) -> StatusError:
    """Return PERMISSION_DENIED for a write of a resource that the caller may see, and not write."""
    return StatusError(
        StatusCode.PERMISSION_DENIED,
        "ROW_NOT_ALLOWED",
        f"You may not write {name}, or not as you wanted to.",
        metadata={"resource": name},
    )


def field_not_allowed(*violations: FieldViolation) -> StatusError:
    """Return PERMISSION_DENIED for fields of a request that the caller may not use."""
    first = violations[0]
    return StatusError(
        StatusCode.PERMISSION_DENIED,
        "FIELD_NOT_ALLOWED",
        f"{first.field}: {first.description}",
        metadata={"field": first.field},
        violations=violations,
    )


def stale(name: str, etag: str) -> StatusError:
    """Return ABORTED for an etag that is not the resource's (AIP-154); nothing was written.

    It has no RetryInfo: whoever sent it must first read what has changed.

    Args:
        name: The resource's name.
        etag: Its current etag.
    """
    return StatusError(
        StatusCode.ABORTED,
        "ETAG_MISMATCH",
        f"{name} is not the one that the etag was given out for: its etag is {etag} now.",
        metadata={"resource": name, "etag": etag},
    )


def changed() -> StatusError:
    """Return ABORTED for a call that another one got in the way of, and that may be made again."""
    return StatusError(
        StatusCode.ABORTED,
        "CONCURRENT_CHANGE",
        "Another call changed the same resources at the same time; this one changed nothing.",
        retry_delay=RETRY_DELAY,
    )


def has_children(name: str) -> StatusError:
    """Return FAILED_PRECONDITION for a Delete, without `force`, of a resource with others below it (AIP-135)."""
    return StatusError(
        StatusCode.FAILED_PRECONDITION,
        "HAS_CHILDREN",
        f"{name} has resources below it; `force` deletes it all the same.",
        metadata={"resource": name},
    )


def in_use(name: str) -> StatusError:
    """Return FAILED_PRECONDITION for a Delete of a resource that others refer to."""
    return StatusError(
        StatusCode.FAILED_PRECONDITION,
        "RESOURCE_IN_USE",
        f"Other resources refer to {name}.",
        metadata={"resource": name},
    )


def not_deleted(name: str) -> StatusError:
    """Return ALREADY_EXISTS for an Undelete of a resource that is not deleted (AIP-164)."""
    return StatusError(
        StatusCode.ALREADY_EXISTS, "NOT_DELETED", f"{name} is not deleted.", metadata={"resource": name}
    )


def refers_to_deleted(name: str) -> StatusError:
    """Return FAILED_PRECONDITION for an Undelete of what is below, or refers to, another that is deleted."""
    return StatusError(
        StatusCode.FAILED_PRECONDITION,
        "REFERS_TO_DELETED",
        f"{name}, or a resource below it, is below or refers to one that is deleted: undelete that one first.",
        metadata={"resource": name},
    )
