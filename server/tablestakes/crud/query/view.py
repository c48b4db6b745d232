"""The part of each resource that a read returns, as its request asks for it."""

from collections.abc import Callable
from typing import Any

from tablestakes.crud.asks import Asks
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.schema.view import View
from tablestakes.errors import invalid_field

READ_MASK = "read_mask"


def view_chooser(schema: Schema, asks: Asks, *, basic_by_default: bool = False) -> Callable[[Any], View]:
    """Return the function from a request to the view of its `read_mask` or its `view` (AIP-157).

    It raises StatusError, INVALID_ARGUMENT: on `read_mask`, for a path that the resource does not have; on `view`,
    where it is set beside a mask, for either alone says it all.

    Args:
        schema: The resource.
        asks: The standard fields of the requests.
        basic_by_default: Whether a request that asks for neither gets the BASIC view, and not the FULL one.
    """

    def by_view(request: Any) -> View:
        return schema.basic if asks.basic(request, basic_by_default) else schema.full

    if READ_MASK not in asks.fields:
        return by_view

    def by_mask(request: Any) -> View:
        if not request.HasField(READ_MASK) or not (paths := asks.read_mask(request)):
            return by_view(request)
        if asks.view(request):
            raise invalid_field("view", "must not be set beside read_mask.", "VIEW_AND_MASK")
        return schema.views.of_paths(paths)

    return by_mask
