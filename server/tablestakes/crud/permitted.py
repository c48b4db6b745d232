"""The fields that a request may set, by the field policies of its resource; presets are set here."""

from collections.abc import Iterator
from typing import Any

from tablestakes.crud.method import Method
from tablestakes.crud.security.rules import FieldRules
from tablestakes.crud.update_mask import fields_to_write
from tablestakes.crud.verb.batch import ITEMS, before
from tablestakes.errors import FieldViolation, field_not_allowed


def permit_fields(method: Method, request: Any, rules: FieldRules) -> None:
    """Set the presets of the resource in a request, and refuse one that sets what its caller may not.

    It is done before the request is validated: a field that is REQUIRED may be a preset.

    Args:
        method: The method.
        request: Its request.
        rules: The rules for the caller.

    Raises:
        StatusError: PERMISSION_DENIED on each field that the caller may not set; INVALID_ARGUMENT on `update_mask`.
    """
    if method.item is not None:
        violations = [
            violation
            for index, item in enumerate(getattr(request, ITEMS))
            for violation in _of_one(method.item, item, rules, before(index))
        ]
    else:
        violations = list(_of_one(method, request, rules, ""))
    if violations:
        raise field_not_allowed(*violations)


def _of_one(method: Method, request: Any, rules: FieldRules, start: str) -> Iterator[FieldViolation]:
    if method.body is None:
        return
    message, path = getattr(request, method.body), f"{start}{method.body}"
    creates = "update_mask" not in method.asks.fields
    # An upsert sets what it creates from the whole message, whatever its mask says.
    upserts = not creates and method.asks.allow_missing(request)
    written = None if creates else _written(method, request, message)
    for part in method.schema.parts:
        name = part.name
        if name not in rules.fixed and name not in rules.presets:
            continue
        is_set = part.is_set(message)
        is_written = is_set if written is None else name in written or (upserts and is_set)
        if name in rules.fixed:
            if is_written:
                yield FieldViolation(f"{path}.{name}", "is not yours to set.", "FIELD_NOT_ALLOWED")
            continue
        value = rules.presets[name]
        if creates and not is_set and value is not None:
            setattr(message, name, value)
        elif (creates or is_written) and (value is None or getattr(message, name) != value):
            must = "cannot be known for you" if value is None else f"must be {value}"
            yield FieldViolation(f"{path}.{name}", f"{must}.", "FIELD_NOT_ALLOWED")


def _written(method: Method, request: Any, message: Any) -> frozenset[str]:
    """Return the names of the fields that an Update writes, or writes something inside of."""
    found = fields_to_write(method.schema, method.asks.update_mask(request), message)
    return frozenset(path.partition(".")[0] for path in found.paths)
