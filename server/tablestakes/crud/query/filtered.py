"""The filter of a request (AIP-160): which resources it asks for."""

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor

from tablestakes.crud.asks import STRING
from tablestakes.crud.query.told import require_told
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.shape import has_field
from tablestakes.filter import Compiled, FilterError, Filters, Limits

FILTER = "filter"


def filter_reader(
    requests: Descriptor, schema: Schema, limits: Limits
) -> Callable[[Any], tuple[Compiled | None, dict[str, Any]]]:
    """Return the function from a request to its filter in SQL, None for all resources, and its parameters.

    It raises StatusError, INVALID_ARGUMENT on `filter`, for a filter that is wrong.

    Args:
        requests: The type of the requests, which need not have a filter.
        schema: The resource.
        limits: What a filter may ask for.
    """
    everything: tuple[None, dict[str, Any]] = (None, {})
    if not has_field(requests, FILTER, STRING):
        return lambda _: everything
    filters = Filters(schema, limits)

    def read(request: Any) -> tuple[Compiled | None, dict[str, Any]]:
        try:
            found = filters.read(request.filter)
        except FilterError as error:
            raise error.status(FILTER) from None
        if found is None:
            return everything
        require_told(FILTER, found[0].paths)
        return found

    return read
