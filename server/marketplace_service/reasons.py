"""The reasons of errors that the marketplace alone has."""

from grpc import StatusCode

from tablestakes import Reason

REASONS = (
    Reason(
        "BALANCE_LIMIT",
        "The wallet would hold more than `limit` cents.",
        (StatusCode.FAILED_PRECONDITION,),
        ("resource", "limit"),
    ),
    Reason(
        "INSUFFICIENT_FUNDS",
        "The wallet holds less than the `needed` cents.",
        (StatusCode.FAILED_PRECONDITION,),
        ("resource", "needed"),
    ),
    Reason(
        "OUT_OF_STOCK",
        "Of the product there is only `stock` left; the BadRequest has every item that asks for too much.",
        (StatusCode.FAILED_PRECONDITION,),
        ("resource", "stock"),
        field=True,
    ),
    Reason(
        "PASSWORDS_BUSY",
        "Too many passwords are being hashed; this call was not begun.",
        (StatusCode.UNAVAILABLE,),
        again=True,
    ),
    Reason(
        "SAME_WALLET",
        "Source and destination are one wallet.",
        (StatusCode.INVALID_ARGUMENT,),
        ("field",),
        field=True,
    ),
)
