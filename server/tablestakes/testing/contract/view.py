"""Views, for every resource that has them, on every database (AIP-157)."""

from typing import Any

import pytest

from tablestakes.testing.contract.common import (
    SESSION_LOOP,
    invalid,
    refused,
)
from tablestakes.testing.resource import Contract


def views(contract: Contract) -> tuple[int, int]:
    """Return the numbers of the views BASIC and FULL."""
    view = contract.facts.methods["Get"].input_type.fields_by_name["view"].enum_type
    assert view is not None
    basic, full = (
        next(value.number for value in view.values if value.name.endswith(end)) for end in ("_BASIC", "_FULL")
    )
    return basic, full


def basic_of(contract: Contract, message: Any) -> Any:
    """Return a resource without what the BASIC view leaves out."""
    made = type(message)()
    made.CopyFrom(message)
    for field in contract.resource.full_view_only:
        assert getattr(made, field)
        made.ClearField(field)
    return made


@SESSION_LOOP
@pytest.mark.verbs("Create", "Get", "List")
@pytest.mark.traits("view")
class TestView:
    """Views, for every resource that has them, on every database (AIP-157)."""

    async def test_get_returns_what_its_view_says(self, contract: Contract) -> None:
        """Get returns all of a resource unless it is asked for BASIC, which lacks what is costly to read."""
        created = await contract.create()
        basic, full = views(contract)
        assert await contract.get(created.name) == created
        assert await contract.get(created.name, view=full) == created
        assert await contract.get(created.name, view=basic) == basic_of(contract, created)

    async def test_list_returns_what_its_view_says(self, contract: Contract) -> None:
        """List returns what is cheap of each resource unless it is asked for FULL."""
        created = [await contract.create() for _ in range(2)]
        basic, full = views(contract)
        for fields, expected in (
            ({}, [basic_of(contract, each) for each in created]),
            ({"view": basic}, [basic_of(contract, each) for each in created]),
            ({"view": full}, created),
        ):
            listed = {each.name: each for each in await contract.everything(**fields)}
            assert [listed[each.name] for each in created] == expected

    async def test_a_token_is_of_its_view(self, contract: Contract) -> None:
        """A token of a List in one view is INVALID_ARGUMENT for a List in another."""
        for _ in range(2):
            await contract.create(plain=True)
        basic, full = views(contract)
        _, token = await contract.page(page_size=1, view=basic)
        assert list((await refused(contract.page(view=full, page_token=token))).fields) == ["page_token"]

    async def test_a_view_that_is_none_is_refused(self, contract: Contract) -> None:
        """A number that stands for no view is INVALID_ARGUMENT on `view`."""
        created = await contract.create(plain=True)
        for call in (contract.get(created.name, view=99), contract.page(view=99)):
            answer = await invalid(call)
            assert list(answer.fields) == ["view"]
