"""The rules that a request must keep: `google.api.field_behavior` REQUIRED and `buf.validate` in its proto."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from typing import Any, cast

import protovalidate
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from tablestakes.crud.method import Method
from tablestakes.crud.required import RequiredFields
from tablestakes.crud.verb.batch import ITEMS, Faults, before, require_size, within
from tablestakes.edge.item import Items
from tablestakes.errors import FieldViolation, invalid_fields

_VALIDATOR = protovalidate.Validator()

# Of one kind in one request; a status shows fewer.
MAX_VIOLATIONS = 100

# Items of repeated fields and maps, at any depth. A request with more than MAX_ITEMS is refused. Of one with more
# than MANY_ITEMS only the first violation is told: all of them would take longer to collect than the event loop can
# wait. An Update needs all, to leave out those in fields that it does not write, and so may have fewer items.
MANY_ITEMS, MAX_ITEMS, MAX_UPDATE_ITEMS = 200, 5000, 1000


# A parent with this stands for any.
ANY = "-"

# Items of a batch that are checked before other calls have their turn on the event loop.
AT_ONCE = 20


def validator(method: Method) -> Callable[[Message], Awaitable[None] | None]:
    """Return the function that checks the requests of a method.

    It raises StatusError, INVALID_ARGUMENT, with every violation at once, up to a limit. Of the resource that a
    request writes only the fields that it writes count: an Update may leave out all others, or send them as it read
    them. A request with more than MAX_ITEMS items is refused before anything else is looked at.

    The items of a batch are checked one after the other, and in between other calls have their turn: there it
    returns what is to be awaited.
    """
    if method.item is not None:
        return _of_batch(method, method.item)
    check = _check(method)

    def validate(request: Message) -> None:
        if found := check(request):
            raise invalid_fields(*found)

    return validate


def _check(method: Method) -> Callable[[Message], tuple[FieldViolation, ...]]:
    """Return the function that finds the violations of a request."""
    descriptor = cast(Descriptor, method.request.DESCRIPTOR)
    required, items = RequiredFields.of(descriptor, {}), Items.of(descriptor, {})
    partial = "update_mask" in method.asks.fields
    most, many = (MAX_UPDATE_ITEMS, MAX_UPDATE_ITEMS) if partial else (MAX_ITEMS, MANY_ITEMS)
    # Rules are compiled as they are first met, which the first caller would have to wait for.
    _VALIDATOR.collect_violations(method.request())

    def check(request: Message) -> tuple[FieldViolation, ...]:
        count = items.count(request, most)
        absent = tuple(islice(required.missing(request), MAX_VIOLATIONS))
        broken = _VALIDATOR.collect_violations(request, fail_fast=count > many)
        if not absent and not broken:
            return ()
        violations = {path: FieldViolation(path, "must be set.", "REQUIRED_FIELD") for path in absent}
        for violation in broken[:MAX_VIOLATIONS]:
            found = _violation(violation)
            violations.setdefault(found.field, found)
        return tuple(_counted(method, request, violations))

    return check


def _of_batch(method: Method, item: Method) -> Callable[[Message], Awaitable[None]]:
    check_item = _check(item)
    items = Items.of(cast(Descriptor, method.request.DESCRIPTOR), {})
    has_parent = "parent" in method.asks.fields and "parent" in item.asks.fields

    async def validate(request: Any) -> None:
        require_size(request)
        items.count(request, MAX_ITEMS)
        around = method.request(**{f.name: value for f, value in request.ListFields() if f.name != ITEMS})
        broken = [_violation(each) for each in _VALIDATOR.collect_violations(around)]
        if found := [each for each in broken if each.field != ITEMS]:
            raise invalid_fields(*found)
        with Faults() as faults:
            for index, each in enumerate(request.requests):
                if has_parent and not each.parent and ANY not in request.parent.split("/"):
                    each.parent = request.parent  # (AIP-233)
                with faults.of(index):
                    if violations := check_item(each):
                        raise within(before(index), invalid_fields(*violations))
                if index % AT_ONCE == AT_ONCE - 1:
                    await asyncio.sleep(0)

    return validate


def _violation(violation: protovalidate.Violation) -> FieldViolation:
    proto = violation.proto
    path = "".join(_step(element) for element in proto.field.elements) if proto.field else ""
    reason = proto.rule_id.upper().replace(".", "_").replace("-", "_")
    return FieldViolation(path.removeprefix("."), f"{proto.message}.", reason)


def _step(element: protovalidate.FieldPathElementPb) -> str:
    if element.subscript is None:
        return f".{element.field_name}"
    key = element.subscript.value
    return f".{element.field_name}[{key}]" if not isinstance(key, str) else f'.{element.field_name}["{key}"]'


def _counted(method: Method, request: Message, violations: dict[str, FieldViolation]) -> Iterator[FieldViolation]:
    """Yield the violations that are not in a field which the request does not write."""
    written = method.writes(request)
    if written is None:
        yield from violations.values()
        return
    for path, violation in violations.items():
        root, _, below = path.partition(".")
        if root != method.body or not below or any(_overlap(below, each) for each in written):
            yield violation


def _overlap(violated: str, written: str) -> bool:
    """Return whether one of two paths is the other one, or leads into it."""
    short, long = sorted((violated, written), key=len)
    return long.startswith(short) and long[len(short) : len(short) + 1] in ("", ".", "[")
