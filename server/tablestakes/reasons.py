"""The reasons of the engine's errors: with the domain they are what programs tell errors apart by (AIP-193).

A reason that was released keeps its meaning, and its metadata keep their keys.
"""

from dataclasses import dataclass

from grpc import StatusCode

__all__ = ["REASONS", "Reason"]

FIELD = ("field",)


@dataclass(frozen=True)
class Reason:
    """A cause of an error.

    Attributes:
        name: The cause for a program, in UPPER_SNAKE_CASE (ErrorInfo.reason, or a FieldViolation's).
        meaning: A sentence for the caller's developer: what happened, and what to do about it.
        codes: The status codes that it comes with.
        metadata: The keys of ErrorInfo's metadata that it always has.
        again: Whether the same call may succeed a moment later (RetryInfo); None where that is so with a request_id
            alone.
        field: Whether it is said of a field of the request. Of several fields at fault each has its own in a
            BadRequest, and the ErrorInfo that of the first, or INVALID_FIELDS.
    """

    name: str
    meaning: str
    codes: tuple[StatusCode, ...]
    metadata: tuple[str, ...] = ()
    again: bool | None = False
    field: bool = False


def of_field(name: str, meaning: str) -> Reason:
    """Return a reason why a field of a request is INVALID_ARGUMENT."""
    return Reason(name, meaning, (StatusCode.INVALID_ARGUMENT,), FIELD, field=True)


REASONS: tuple[Reason, ...] = (
    Reason(
        "ALREADY_EXISTS",
        "Other resources have the same values in these fields, or the same name.",
        (StatusCode.ALREADY_EXISTS,),
        FIELD,
        field=True,
    ),
    Reason(
        "AUTHENTICATION_REQUIRED",
        "The method is not for everybody, and the call has no credentials.",
        (StatusCode.UNAUTHENTICATED,),
    ),
    of_field("BATCH_SIZE", "A batch has at least one item, and at most as many as the message says."),
    Reason(
        "CONCURRENT_CHANGE",
        "Another call changed the same resources at the same time, and this one changed nothing.",
        (StatusCode.ABORTED,),
        again=True,
    ),
    Reason(
        "DATABASE_BUSY",
        "Too many calls wait for the database; this one was not begun.",
        (StatusCode.UNAVAILABLE,),
        again=True,
    ),
    Reason("DATABASE_TIMEOUT", "A statement took longer than it may.", (StatusCode.DEADLINE_EXCEEDED,)),
    Reason(
        "CREDENTIALS_INVALID",
        "The token or the key of the call is none that the service takes; the message says why.",
        (StatusCode.UNAUTHENTICATED,),
    ),
    Reason(
        "DATABASE_UNAVAILABLE",
        "The service has no database at the moment; a write was not applied.",
        (StatusCode.UNAVAILABLE,),
        again=True,
    ),
    Reason(
        "DEADLINE_EXCEEDED",
        "The call did not end by the caller's deadline, or by the service's where the caller set none.",
        (StatusCode.DEADLINE_EXCEEDED,),
    ),
    Reason(
        "DEADLINE_TOO_SHORT",
        "The service is too busy to end the call by its deadline; it was not begun.",
        (StatusCode.UNAVAILABLE,),
        again=True,
    ),
    Reason(
        "DRAINING",
        "The service is about to end; this call was not begun. Another replica may serve it.",
        (StatusCode.UNAVAILABLE,),
        again=True,
    ),
    of_field("DUPLICATE_ITEM", "Two items of a batch are of the same resource."),
    of_field("DURATION_OUT_OF_RANGE", "A duration is malformed, or longer than can be kept."),
    Reason(
        "ETAG_MISMATCH",
        "The resource has changed since the etag was given out, and nothing was written. `etag` is its current one:"
        " read the resource, decide anew, and send that.",
        (StatusCode.ABORTED,),
        ("resource", "etag"),
    ),
    Reason(
        "FIELD_NOT_ALLOWED",
        "The caller may not set the field, or not filter or order by it.",
        (StatusCode.PERMISSION_DENIED,),
        FIELD,
        field=True,
    ),
    of_field("FIELD_MASK_TOO_LONG", "The mask has more characters than one may have."),
    of_field("FILTER_ESCAPE", "A backslash in a text of the filter begins no escape."),
    of_field("FILTER_FUNCTION", "The filter calls a function, and there are none."),
    of_field("FILTER_OPERATOR", "The field of the filter has no such operator."),
    of_field("FILTER_PARAMETER", "The filter has a parameter that is none."),
    of_field("FILTER_SCAN", "The filter looks into more texts than one may, or where there is no text."),
    of_field("FILTER_SYNTAX", "The filter is not well formed: see `position`."),
    of_field(
        "FILTER_TOO_DEEP", "Parentheses and negations of the filter are deeper inside each other than they may be."
    ),
    of_field("FILTER_TOO_LARGE", "The filter has more comparisons than one may have."),
    of_field("FILTER_TOO_LONG", "The filter has more characters than one may have."),
    of_field("FILTER_TYPE", "The field of the filter cannot be compared with a value."),
    of_field("FILTER_UNINDEXED", "The filter asks for a field without an index, which this service does not take."),
    of_field("FILTER_UNKNOWN_FIELD", "The filter names a field that the resource does not have."),
    of_field("FILTER_VALUE", "The field of the filter cannot have the value that it is compared with."),
    of_field("FILTER_WILDCARD", "A wildcard stands at the front or at the end of a text, and with = and != only."),
    Reason(
        "HAS_CHILDREN",
        "There are resources below the one that was to be deleted; `force` deletes it all the same.",
        (StatusCode.FAILED_PRECONDITION,),
        ("resource",),
    ),
    of_field("IMMUTABLE_FIELD", "The field is set when the resource is created, and cannot be changed."),
    Reason(
        "INTERNAL",
        "A fault of the service. `errorId` finds it in the service's log.",
        (StatusCode.INTERNAL,),
        ("errorId",),
    ),
    of_field("INVALID_DATE", "There is no such day in the calendar."),
    of_field("INVALID_DECIMAL", "The text is no decimal number."),
    Reason(
        "INVALID_FIELDS",
        "Several fields are wrong for several reasons: the BadRequest has the reason of each.",
        (StatusCode.INVALID_ARGUMENT,),
        FIELD,
    ),
    of_field("INVALID_FIELD_MASK", "The update mask cannot be applied."),
    of_field("INVALID_FIRST_SENT", "The metadata `first_sent` is no time of RFC 3339, or one of the future."),
    of_field("INVALID_ID", "No resource can have this id."),
    of_field("INVALID_ORDER_BY", "The order names no field, or one that has no order."),
    of_field("INVALID_PAGE_TOKEN", "The page token is not one of this method, for this request."),
    of_field("INVALID_REQUEST_ID", "The request id is no UUID of version 4."),
    of_field("INVALID_RESOURCE_NAME", "The text is no name of a resource of the type that is needed."),
    of_field("INVALID_TIME_OF_DAY", "There is no such time in a day."),
    of_field("INVALID_UUID", "The text is no UUID in its canonical form."),
    of_field("ITEM_FIELD", "The field is that of a batch as a whole, and no item has it by itself."),
    Reason(
        "KEYS_UNAVAILABLE",
        "The service has no keys to verify the call's token with at the moment.",
        (StatusCode.UNAVAILABLE,),
        again=True,
    ),
    Reason("MALFORMED_REQUEST", "The request is no message of its type.", (StatusCode.INVALID_ARGUMENT,)),
    Reason("MISSING_REQUEST", "The call has no request message.", (StatusCode.INVALID_ARGUMENT,)),
    Reason(
        "METHOD_NOT_ALLOWED",
        "The caller lacks the role or a scope that the method needs: see `allowed`.",
        (StatusCode.PERMISSION_DENIED,),
        ("method", "allowed"),
    ),
    of_field("NEGATIVE_PAGE_SIZE", "A page cannot have less than no resources."),
    of_field("NEGATIVE_SKIP", "Less than no resources cannot be skipped."),
    Reason(
        "NOT_DELETED",
        "The resource that was to be undeleted is not deleted.",
        (StatusCode.ALREADY_EXISTS,),
        ("resource",),
    ),
    Reason(
        "METADATA_TOO_LARGE",
        "The call has more metadata than calls may have.",
        (StatusCode.RESOURCE_EXHAUSTED,),
        ("most",),
    ),
    of_field("NOT_A_NUMBER", "The number must be finite."),
    of_field("NOT_JSON", "The value has no form in JSON."),
    of_field("NUL_CHARACTER", "Text cannot have the character NUL."),
    Reason(
        "OUTCOME_UNKNOWN",
        "The service lost its database in the middle of a write, which may have been applied or not: find out"
        " before sending it again, or send it with the same request_id.",
        (StatusCode.UNAVAILABLE,),
        ("outcome",),
        again=None,
    ),
    Reason(
        "OVERLOADED",
        "The service has as many calls as it can serve; this one was not begun. Another replica may serve it.",
        (StatusCode.UNAVAILABLE,),
        again=True,
    ),
    of_field("PARENT_MISMATCH", "The item is below another parent than that of the request."),
    Reason(
        "RATE_LIMITED",
        "The caller has made as many calls as it may; this one was not begun. RetryInfo says when the next may"
        " come.",
        (StatusCode.RESOURCE_EXHAUSTED,),
        again=True,
    ),
    of_field("REFERENCE_NOT_FOUND", "The field refers to a resource that does not exist, or is deleted."),
    Reason(
        "REFERS_TO_DELETED",
        "The resource that was to be undeleted, or one below it, is below or refers to one that is deleted:"
        " undelete that one first.",
        (StatusCode.FAILED_PRECONDITION,),
        ("resource",),
    ),
    Reason(
        "REQUEST_ID_EXPIRED",
        "The request was first sent so long ago that its request id may be forgotten: find out whether it was"
        " applied.",
        (StatusCode.FAILED_PRECONDITION,),
        ("outcome", "retention"),
    ),
    of_field("REQUEST_ID_REUSED", "Another request had the same request id: each needs an id of its own."),
    Reason(
        "REQUEST_IN_PROGRESS",
        "An earlier call with the same request id has not ended yet; a later one will have its answer.",
        (StatusCode.ABORTED,),
        ("outcome",),
        again=True,
    ),
    of_field("REQUIRED_FIELD", "The field must be set."),
    Reason(
        "RESOURCE_IN_USE",
        "Other resources refer to the one that was to be deleted.",
        (StatusCode.FAILED_PRECONDITION,),
    ),
    Reason(
        "RESOURCE_NOT_FOUND",
        "There is no resource of this name.",
        (StatusCode.NOT_FOUND,),
        ("resource",),
    ),
    Reason(
        "RESPONSE_TOO_LARGE",
        "The response is larger than a message may be: ask for fewer resources.",
        (StatusCode.RESOURCE_EXHAUSTED,),
    ),
    Reason(
        "ROW_NOT_ALLOWED",
        "The caller may see the resource, and not change it; or may not write what it would be then.",
        (StatusCode.PERMISSION_DENIED,),
        ("resource",),
    ),
    Reason(
        "STATE_NOT_ALLOWED",
        "The resource is in a state from which there is no way to `target`.",
        (StatusCode.FAILED_PRECONDITION,),
        ("resource", "state", "target"),
    ),
    Reason("STORAGE_EXHAUSTED", "The service has no room left.", (StatusCode.RESOURCE_EXHAUSTED,)),
    of_field("TIMESTAMP_OUT_OF_RANGE", "The instant lies outside of the years 1 to 9999, or is malformed."),
    Reason(
        "TOKEN_EXPIRED",
        "The token of the call has expired: send the call with a new one.",
        (StatusCode.UNAUTHENTICATED,),
    ),
    of_field("TOO_MANY_DECIMALS", "The number has more decimals than are kept."),
    of_field("TOO_MANY_ITEMS", "The request has more items than a request may have."),
    Reason(
        "TOO_MANY_STREAMS",
        "The service streams to as many callers as it may; this call was not begun.",
        (StatusCode.UNAVAILABLE,),
        ("limit",),
        again=True,
    ),
    of_field("UNKNOWN_ENUM_VALUE", "The number is no value of the enum."),
    of_field("UNKNOWN_FIELD", "The resource has no such field."),
    of_field("UNKNOWN_VALUE", "The text is none of the values that the field takes."),
    of_field("VALUE_NOT_ALLOWED", "A rule of the database does not allow the value."),
    Reason("VALUE_OUT_OF_RANGE", "A value is larger than can be kept.", (StatusCode.INVALID_ARGUMENT,), field=True),
    of_field("VIEW_AND_MASK", "A request chooses a view or a read mask, and not both."),
    Reason("WORK_CANCELLED", "The service cancelled the call.", (StatusCode.UNAVAILABLE,), again=True),
)
"""Every reason of the engine, by name. A violated rule of the proto (`buf.validate`) has the rule's id as its
reason, in upper case and with underscores: STRING_MIN_LEN."""
