"""Every RPC ends by its deadline, also one whose caller set none."""

from tablestakes.edge.tasks import deadline_exceeded

# Seconds, and the share of a short deadline, that are kept for the answer to travel back in.
RESERVE, RESERVED_SHARE = 0.02, 0.1


def seconds_to_serve(left: float | None, default: float) -> float:
    """Return how many seconds the work of a call may take.

    Args:
        left: The seconds until the caller's deadline, None where the caller set none.
        default: The seconds for callers that set none.

    Raises:
        StatusError: DEADLINE_EXCEEDED, the deadline has passed already.
    """
    if left is None:
        return default
    seconds = left - min(RESERVE, left * RESERVED_SHARE)
    if seconds <= 0:
        raise deadline_exceeded()
    return seconds
