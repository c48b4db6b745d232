"""The time at which a caller made a call for the first time, from the metadata of it and of each repetition."""

from datetime import UTC, datetime

from tablestakes.crud.once import CLOCK_SKEW
from tablestakes.edge.arrival import Arrival
from tablestakes.errors import invalid_field

KEY = "first_sent"


def first_sent(arrival: Arrival) -> datetime | None:
    """Return the time in the metadata `first_sent`, None where there is none.

    Raises:
        StatusError: INVALID_ARGUMENT, it is no time of RFC 3339, or is in the future by more than clocks are apart.
    """
    text = arrival.metadata.get(KEY)
    if text is None:
        return None
    try:
        # Of RFC 3339, like Python, at the least: its other forms of ISO 8601 do no harm.
        found = datetime.fromisoformat(text if isinstance(text, str) else "")
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise invalid_field(KEY, "must be a time of RFC 3339, such as 2026-11-25T12:00:00Z.", "INVALID_FIRST_SENT")
    if found > datetime.now(UTC) + CLOCK_SKEW:
        raise invalid_field(KEY, "must not be in the future.", "INVALID_FIRST_SENT")
    return found
