"""The filter of a List, for every resource that has one on every database (AIP-160)."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor

from tablestakes.testing.contract.common import SESSION_LOOP, invalid
from tablestakes.testing.resource import Contract
from tablestakes.testing.sample import is_map
from tablestakes.testing.served import is_told

WRONG = [
    "<",
    "nothing_of_the_name = 1",
    'name = "unclosed',
    "name = things/1",
    "name = ",
    "name > 1",
    "name.below:*",
    "f(name)",
    "AND",
    "name = $caller",
    "NOT (" * 40 + "name:*" + ")" * 40,
    " OR ".join(["name:*"] * 200),
    'name = "\x00"',
    "(" * 3000,
]

INSTANTS = ("google.protobuf.Timestamp", "google.protobuf.Duration")


@SESSION_LOOP
@pytest.mark.verbs("Create", "List")
@pytest.mark.traits("filter")
class TestFilter:
    """The filter of a List, for every resource that has one on every database (AIP-160)."""

    async def test_each_field_finds_what_has_its_value(self, contract: Contract) -> None:
        """A filter by a field's value has the resources with that value, and `!=` those with another one."""
        created = [await contract.create(plain=plain) for plain in (False, False, True)]
        first = created[0]
        for field in contract.facts.descriptor.fields:
            if (literal := _literal(field, first)) is None:
                continue
            equal = [each.name for each in created if getattr(each, field.name) == getattr(first, field.name)]
            assert await _found(contract, created, f"{field.name} = {literal}") == equal, field.name
            other = [each.name for each in created if each.name not in equal and _is_set(field, each)]
            assert await _found(contract, created, f"{field.name} != {literal}") == other, field.name
            rest = [each.name for each in created if each.name not in equal]
            assert await _found(contract, created, f"NOT {field.name} = {literal}") == rest, field.name

    async def test_a_star_asks_for_what_is_set(self, contract: Contract) -> None:
        """`field:*` has the resources in which the field is set, and its negation has all others."""
        created = [await contract.create(plain=plain) for plain in (False, True)]
        for field in contract.facts.descriptor.fields:
            if not is_told(field):
                continue
            filled = [each.name for each in created if _is_filled(field, each)]
            assert await _found(contract, created, f"{field.name}:*") == filled, field.name
            empty = [each.name for each in created if each.name not in filled]
            assert await _found(contract, created, f"-{field.name}:*") == empty, field.name

    async def test_pages_of_a_filter_hold_each_resource_once(self, contract: Contract) -> None:
        """Pages under a filter hold each resource that it is true of once; their tokens are for it alone."""
        created = await contract.several(5)
        chosen = created[::2]
        text = f"name = ({' OR '.join(chosen)})"
        pages = [[each.name for each in page] async for page in contract.pages(page_size=1, filter=text)]
        assert pages == [[name] for name in chosen]
        _, token = await contract.page(page_size=1, filter=text)
        answer = await invalid(contract.page(page_token=token, filter="name:*"))
        assert list(answer.fields) == ["page_token"]

    async def test_a_wrong_filter_is_refused(self, contract: Contract) -> None:
        """A filter that is not well formed, names no field or asks for too much is INVALID_ARGUMENT on `filter`."""
        for text in WRONG:
            answer = await invalid(contract.page(filter=text))
            assert list(answer.fields) == ["filter"], text

    async def test_a_misspelt_field_is_named(self, contract: Contract) -> None:
        """The error of a misspelt field has its place, and the name that was probably meant."""
        field = next(
            each.name for each in contract.facts.descriptor.fields if each.name != "name" and is_told(each)
        )
        answer = await invalid(contract.page(filter=f"name:* AND {field}x:*"))
        assert f"did you mean {field}?" in answer.fields["filter"]
        assert answer.info.metadata["position"] == "12"


async def _found(contract: Contract, created: list[Any], text: str) -> list[str]:
    """Return the names of the created resources that a filter is true of, in the order of their creation."""
    listed = {each.name for each in await contract.everything(filter=text)}
    return [each.name for each in created if each.name in listed]


def _is_set(field: FieldDescriptor, message: Any) -> bool:
    """Return whether a field can be compared: a reference, and a field with presence, may have no value."""
    if field.has_presence:
        return bool(message.HasField(field.name))
    return field.type != FieldDescriptor.TYPE_STRING or bool(getattr(message, field.name))


def _is_filled(field: FieldDescriptor, message: Any) -> bool:
    if field.has_presence:
        return bool(message.HasField(field.name))
    return bool(getattr(message, field.name))


WRITE: dict[int, Callable[[Any], str]] = {
    FieldDescriptor.TYPE_BOOL: lambda value: str(value).lower(),
    FieldDescriptor.TYPE_FLOAT: repr,
    FieldDescriptor.TYPE_DOUBLE: repr,
}


def _literal(field: FieldDescriptor, message: Any) -> str | None:
    """Return a field's value as a filter has it; None where it has none, or cannot be compared."""
    if field.is_repeated or is_map(field) or not is_told(field) or not _is_filled(field, message):
        return None
    value = getattr(message, field.name)
    if field.message_type is not None:
        return f'"{value.ToJsonString()}"' if field.message_type.full_name in INSTANTS else None
    if field.enum_type is not None:
        return str(field.enum_type.values_by_number[value].name)
    if field.type == FieldDescriptor.TYPE_STRING:
        escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*")
        return f'"{escaped}"'
    return None if field.type == FieldDescriptor.TYPE_BYTES else WRITE.get(field.type, str)(value)
