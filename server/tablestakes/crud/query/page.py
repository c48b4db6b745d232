"""The size of a page, and the resources to skip before it (AIP-158)."""

from tablestakes.errors import invalid_field

DEFAULT_SIZE = 50
MAX_SIZE = 1000

# A page ends early when its resources have this many bytes together, so that it can be sent.
MAX_BYTES = 3 << 20

# Rows that are read at once: as many as the default page has. A larger page reads on only as far as rows of that
# size fit, so that memory is bounded by these rows and not by the largest page of the largest resources.
CHUNK = DEFAULT_SIZE


def page_size(requested: int) -> int:
    """Return how many resources a page holds: the default for 0, and never more than the maximum.

    Raises:
        StatusError: INVALID_ARGUMENT, it is negative.
    """
    if requested < 0:
        raise invalid_field("page_size", "must not be negative.", "NEGATIVE_PAGE_SIZE")
    return min(requested, MAX_SIZE) or DEFAULT_SIZE


def skipped(requested: int) -> int:
    """Return how many resources to leave out before a page.

    Raises:
        StatusError: INVALID_ARGUMENT, it is negative.
    """
    if requested < 0:
        raise invalid_field("skip", "must not be negative.", "NEGATIVE_SKIP")
    return requested
