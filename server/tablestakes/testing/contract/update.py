"""Update, for every resource on every database (AIP-134, AIP-161)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tablestakes.crud.schema.behavior import INPUT_ONLY, OUTPUT_ONLY, REQUIRED, behaves
from tablestakes.testing.contract.common import (
    MINUTE,
    SESSION_LOOP,
    check_later,
    check_same_but,
    invalid,
    not_found,
    refused,
)
from tablestakes.testing.resource import Contract, copy_fields, told, value_of
from tablestakes.testing.sample import settable, spoil


@SESSION_LOOP
@pytest.mark.verbs("Get", "Update")
class TestUpdate:
    """Update, for every resource on every database (AIP-134, AIP-161)."""

    async def test_each_field_of_a_mask_changes_and_no_other(self, contract: Contract) -> None:
        """For every field: a mask with its path changes it, and update_time, and nothing else."""
        for field in contract.changeable:
            before = await contract.create()
            change = await contract.change_of(before)
            after = await contract.update(change, field)
            assert value_of(after, field) == value_of(contract.shown(change), field)
            check_later(before, after)
            assert await contract.get(before.name) == after
            check_same_but(before, after, field)

    async def test_without_a_mask_what_has_a_value_changes(self, contract: Contract) -> None:
        """An absent mask stands for every field that has a value; the others stay."""
        for field in contract.changeable:
            before = await contract.create()
            change = type(before)(name=before.name)
            copy_fields(await contract.sample(), change, [field])
            after = await contract.update(change)
            assert value_of(after, field) == value_of(contract.shown(change), field)
            check_later(before, after)
            check_same_but(before, after, field)

    async def test_a_star_replaces_every_field(self, contract: Contract) -> None:
        """The mask `*` writes every field, and so empties those without a value that may be empty."""
        before = await contract.create()
        replacement = await contract.replacement_of(before)
        after = await contract.update(replacement, "*")
        assert told(after) == told(replacement)
        check_same_but(before, after, *contract.changeable)

    @pytest.mark.traits("required")
    async def test_a_star_needs_what_create_needs(self, contract: Contract) -> None:
        """The mask `*` with an empty resource names every REQUIRED field that is missing."""
        before = await contract.create()
        assert (
            set((await refused(contract.update(type(before)(name=before.name), "*"))).fields)
            == contract.facts.required()
        )
        assert await contract.get(before.name) == before

    async def test_a_field_can_be_emptied(self, contract: Contract) -> None:
        """A field in the mask without a value in the resource takes its zero value, unless it is REQUIRED."""
        for field in contract.facts.descriptor.fields:
            if field.name not in contract.changeable or field.has_presence:
                continue
            before = await contract.create(await contract.sample())
            emptied = type(before)(name=before.name)
            if behaves(field, REQUIRED):
                assert (await refused(contract.update(emptied, field.name))).fields == {
                    f"{contract.body}.{field.name}": "must be set."
                }
            else:
                after = await contract.update(emptied, field.name)
                assert value_of(after, field) in ([], {}, field.default_value)
                assert await contract.get(before.name) == after

    async def test_fields_outside_the_mask_may_break_the_rules(self, contract: Contract) -> None:
        """What an Update does not write is not validated: a caller may send back a resource as it read it."""
        before = await contract.create()
        written = contract.changeable[0]
        change = await contract.change_of(before)
        for field in contract.facts.descriptor.fields:
            if (
                field in settable(contract.facts.descriptor)
                and field.name != written
                and field.type == field.TYPE_STRING
            ):
                wrong = "\x01" * 5000
                copy_fields(
                    type(change)(**{field.name: [wrong] if field.is_repeated else wrong}), change, [field.name]
                )
        after = await contract.update(change, written)
        assert value_of(after, written) == value_of(contract.shown(change), written)

    async def test_read_only_paths_are_ignored(self, contract: Contract) -> None:
        """A mask of nothing but OUTPUT_ONLY fields and the name changes nothing, not even update_time."""
        before = await contract.create()
        read_only = [field.name for field in contract.facts.descriptor.fields if behaves(field, OUTPUT_ONLY)]
        change: Any = contract.resource.message()
        spoil(change)
        change.name = before.name
        assert await contract.update(change, "name", *read_only) == before

    async def test_what_callers_may_not_set_is_ignored(self, contract: Contract) -> None:
        """OUTPUT_ONLY fields that are sent stay what they were, with `*` and without a mask."""
        before = await contract.create()
        read_only = [field.name for field in contract.facts.descriptor.fields if behaves(field, OUTPUT_ONLY)]
        for mask in ((), ("*",)):
            change = await contract.replacement_of(before)
            spoil(change)
            after = await contract.update(change, *mask)
            for field in set(read_only) - {"update_time"}:
                assert getattr(after, field) == getattr(before, field), field
            if "update_time" in read_only:
                assert abs(after.update_time.ToDatetime(UTC) - datetime.now(UTC)).total_seconds() < MINUTE
            assert told(after) == told(change)

    async def test_reading_and_writing_back_changes_nothing(self, contract: Contract) -> None:
        """A resource that is written back as it was read is the same, but for update_time."""
        before = await contract.create()
        # What reading does not tell must be sent once more where it is REQUIRED.
        written = contract.shown(before)
        copy_fields(await contract.sample(), written, contract.having(INPUT_ONLY))
        after = await contract.update(written, "*")
        check_same_but(before, after)

    @pytest.mark.parametrize("path", ["no_such_field", "", "create_tim", "*.x", "nam"])
    async def test_an_unknown_path_is_refused(self, contract: Contract, path: str) -> None:
        """A path that the resource does not have is INVALID_ARGUMENT on `update_mask`, and nothing is written."""
        before = await contract.create()
        change = await contract.change_of(before)
        answer = await invalid(contract.update(change, contract.changeable[0], path))
        assert list(answer.fields) == ["update_mask"]
        assert await contract.get(before.name) == before

    async def test_a_star_stands_alone(self, contract: Contract) -> None:
        """`*` beside another path is INVALID_ARGUMENT on `update_mask`."""
        before = await contract.create()
        assert list((await refused(contract.update(before, "*", contract.changeable[0]))).fields) == ["update_mask"]

    async def test_what_is_not_there_cannot_be_updated(self, contract: Contract) -> None:
        """An Update of nothing is NOT_FOUND, whether or not it would write anything."""
        change = await contract.sample()
        change.name = contract.nothing
        for paths in ((), contract.facts.read_only):
            await not_found(contract.update(change, *paths))

    async def test_the_name_must_be_of_the_pattern(self, contract: Contract) -> None:
        """A resource without a name, or with another resource's, is INVALID_ARGUMENT on the name's path."""
        for name in ("", "things/1"):
            assert list((await refused(contract.update(contract.resource.message(name=name)))).fields) == [
                f"{contract.body}.name"
            ]
