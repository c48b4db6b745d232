"""The filter of a request (AIP-160): which resources it asks for."""

from collections.abc import Callable
from typing import Any

from tablestakes.crud.asks import STRING
from tablestakes.crud.method import Rpc
from tablestakes.crud.shape import has_field
from tablestakes.filter import Compiled, FilterError, Filters

FILTER = "filter"


def filter_reader(rpc: Rpc) -> Callable[[Any], tuple[Compiled | None, dict[str, Any]]]:
    """Return the function from a request to its filter in SQL, None for all resources, and its parameters.

    It raises StatusError, INVALID_ARGUMENT on `filter`, for a filter that is wrong.

    Args:
        rpc: The RPC, whose requests need not have a filter.
    """
    everything: tuple[None, dict[str, Any]] = (None, {})
    if not has_field(rpc.descriptor.input_type, FILTER, STRING):
        return lambda _: everything
    filters = Filters(rpc.schema, rpc.limits)

    def read(request: Any) -> tuple[Compiled | None, dict[str, Any]]:
        try:
            return filters.read(request.filter) or everything
        except FilterError as error:
            raise error.status(FILTER) from None

    return read
