"""A batch: the requests of one standard method for many resources, all served or none (AIP-233 to 235).

Each item is read by itself, and every one that is refused is named by its index in the one answer.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from grpc import StatusCode

from tablestakes.crud.asks import STRING, Asks
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.key import ANY_ID, Key
from tablestakes.crud.method import Rpc
from tablestakes.crud.shape import require, require_repeated
from tablestakes.errors import FieldViolation, StatusError, invalid_field

T = TypeVar("T")

ITEMS = "requests"

# Items in one request.
MOST = 1000

# Fields of an item that only the batch as a whole can have.
WHOLE = ("request_id", "validate_only")


def item_rpc(rpc: Rpc, verb: str) -> Rpc:
    """Return the RPC whose requests are the items of a batch: CreateUser for BatchCreateUsers.

    Raises:
        DeclarationError: The service has none, or the batch's request has no such items.
    """
    name = f"{verb}{rpc.schema.descriptor.name}"
    descriptor = rpc.descriptor.containing_service.methods_by_name.get(name)
    if descriptor is None:
        raise DeclarationError(f"{rpc.descriptor.full_name} needs {name} in the same service")
    require_repeated(rpc.descriptor.input_type, ITEMS, descriptor.input_type)
    if rpc.schema.names.parent and "parent" in rpc.descriptor.input_type.fields_by_name:
        require(rpc.descriptor.input_type, parent=STRING)
    return replace(rpc, descriptor=descriptor, asks=Asks.of(descriptor.input_type))


def before(index: int) -> str:
    """Return the beginning of the paths of an item."""
    return f"{ITEMS}[{index}]."


def require_size(request: Any) -> None:
    """Require that a batch has items, and no more than MOST.

    Raises:
        StatusError: INVALID_ARGUMENT on the items.
    """
    if not 0 < len(getattr(request, ITEMS)) <= MOST:
        raise invalid_field(ITEMS, f"must have at least one item, and at most {MOST}.", "BATCH_SIZE")


async def read_items(request: Any, read: Callable[[Any, str], Awaitable[T]]) -> list[T]:
    """Return what each item of a request is read as.

    Args:
        request: The request of the batch.
        read: Reads an item, given the beginning of its paths.

    Raises:
        StatusError: The size, or some of the items, are refused: all of those are named.
    """
    require_size(request)
    found = []
    with Faults() as faults:
        for index, item in enumerate(getattr(request, ITEMS)):
            with faults.of(index):
                for name in WHOLE:
                    if getattr(item, name, None):
                        path = f"{before(index)}{name}"
                        raise invalid_field(path, "must be that of the batch as a whole.", "ITEM_FIELD")
                found.append(await read(item, before(index)))
    return found


def require_distinct(keys: Iterable[Key]) -> None:
    """Require that no two items are of one resource.

    Raises:
        StatusError: INVALID_ARGUMENT on each one that comes again.
    """
    first: dict[Key, int] = {}
    with Faults() as faults:
        for index, key in enumerate(keys):
            with faults.of(index):
                if first.setdefault(key, index) != index:
                    said = f"is of the same resource as {ITEMS}[{first[key]}]."
                    raise invalid_field(f"{ITEMS}[{index}]", said, "DUPLICATE_ITEM")


def require_below(rpc: Rpc, request: Any, keys: Sequence[Key]) -> None:
    """Require that the items are below the parent of a batch, where it has one; `-` stands for any id.

    Args:
        rpc: The RPC of the batch.
        request: Its request.
        keys: The ids in the name of each item, or in that of its parent.

    Raises:
        StatusError: INVALID_ARGUMENT on `parent`, or on each item that is not below it.
    """
    above = rpc.schema.names.parent
    parent: str = getattr(request, "parent", "")
    if above is None or not parent:
        return
    wanted = above.parse(parent, "parent", wildcard=True)
    with Faults() as faults:
        for index, key in enumerate(keys):
            with faults.of(index):
                if not all(id_ in (ANY_ID, own) for id_, own in zip(wanted, key, strict=False)):
                    raise invalid_field(f"{ITEMS}[{index}]", f"must be below {parent}.", "PARENT_MISMATCH")


class Faults:
    """The items that are refused, which are all told together at the end of a `with`."""

    def __init__(self) -> None:
        self._found: dict[int, StatusError] = {}

    def __enter__(self) -> "Faults":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._found:
            raise together(self._found)

    @contextmanager
    def of(self, index: int) -> Iterator[None]:
        """Keep the status of an item that is refused inside."""
        try:
            yield
        except StatusError as error:
            self._found[index] = error


def together(faults: Mapping[int, StatusError]) -> StatusError:
    """Return the one status of items that were refused: the code and the metadata of the first, the fields of all.

    INVALID_ARGUMENT comes before any other code, for the same call cannot succeed at any time.

    Args:
        faults: The status of each refused item, by its index.
    """
    code = StatusCode.INVALID_ARGUMENT
    if all(error.code is not code for error in faults.values()):
        code = next(iter(faults.values())).code
    alike = {index: error for index, error in faults.items() if error.code is code}
    violations = tuple(each for index, error in alike.items() for each in _fields(index, error))
    index, first = next(iter(alike.items()))
    reasons = {error.reason for error in alike.values()}
    reason = first.reason if len(reasons) == 1 or code is not StatusCode.INVALID_ARGUMENT else "INVALID_FIELDS"
    more = f" ({len(alike) - 1} more)" if len(alike) > 1 else ""
    return replace(
        first,
        reason=reason,
        message=f"{ITEMS}[{index}]: {first.message}{more}",
        metadata={**first.metadata, "items": _ranges(alike)},
        violations=violations,
    )


def _ranges(indices: Iterable[int]) -> str:
    """Return ascending indices as `0-2,5`."""
    found: list[list[int]] = []
    for index in indices:
        if found and found[-1][-1] == index - 1:
            found[-1][1:] = [index]
        else:
            found.append([index])
    return ",".join("-".join(map(str, each)) for each in found)


def within(start: str, error: StatusError) -> StatusError:
    """Return the status of an item with the paths of its fields as they are in the batch.

    Args:
        start: The beginning of the item's paths; a path that has it already is left as it is.
        error: The status.
    """

    def whole(path: str) -> str:
        return path if path.startswith(start) else f"{start}{path}"

    metadata = {key: whole(value) if key == "field" else value for key, value in error.metadata.items()}
    violations = tuple(replace(each, field=whole(each.field)) for each in error.violations)
    return replace(error, metadata=metadata, violations=violations)


def _fields(index: int, error: StatusError) -> tuple[FieldViolation, ...]:
    return error.violations or (FieldViolation(f"{ITEMS}[{index}]", error.message, error.reason),)
