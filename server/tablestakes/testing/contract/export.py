"""Export, for every resource that has it, on every database."""

import pytest

from tablestakes.testing.contract.common import SESSION_LOOP, invalid, not_found
from tablestakes.testing.resource import Contract


@SESSION_LOOP
@pytest.mark.verbs("Export", "Create", "List")
class TestExport:
    """Export, for every resource that has it, on every database."""

    async def test_an_export_has_every_resource_in_order(self, contract: Contract) -> None:
        """An export has what Get returns of every resource, in the order of a list, and its last token is empty."""
        created = [await contract.create() for _ in range(3)]
        responses = await contract.export()
        found = {each.name: each for resources, _ in responses for each in resources}
        assert list(found) == [each.name for each in await contract.everything()]
        for each in created:
            assert found[each.name] == await contract.get(each.name)
        assert [token == "" for _, token in responses] == [False] * (len(responses) - 1) + [True]

    async def test_an_export_returns_what_its_mask_selects(self, contract: Contract) -> None:
        """An export with a mask has nothing of a resource but what the mask names."""
        created = await contract.create()
        exported = await contract.export(read_mask={"paths": ["name"]})
        found = {each.name: each for resources, _ in exported for each in resources}
        assert found[created.name] == contract.resource.message(name=created.name)
        answer = await invalid(contract.export(read_mask={"paths": ["nothing"]}))
        assert list(answer.fields) == ["read_mask"]

    async def test_a_token_of_another_making_is_refused(self, contract: Contract) -> None:
        """A token that no export gave is INVALID_ARGUMENT on `page_token`."""
        for garbage in ("garbage", "~"):
            assert list((await invalid(contract.export(page_token=garbage))).fields) == ["page_token"]

    @pytest.mark.traits("parent")
    async def test_an_export_has_what_is_below_its_parent(self, contract: Contract) -> None:
        """An export has nothing below another parent, `-` is every parent, and one that is none is NOT_FOUND."""
        other = await contract.under("").create(plain=True)
        created = await contract.create(plain=True)
        names = [each.name for resources, _ in await contract.export() for each in resources]
        assert names == [created.name]
        anywhere = "/".join("-" if step.startswith("{") else step for step in contract.names.parent.split("/"))
        names = [each.name for resources, _ in await contract.export(parent=anywhere) for each in resources]
        assert {created.name, other.name} <= set(names)
        nothing = contract.nothing[: -len(contract.nothing.split("/", contract.parent.count("/") + 1)[-1]) - 1]
        await not_found(contract.export(parent=nothing))
        assert await contract.under(await contract.new_parent()).export() == []
