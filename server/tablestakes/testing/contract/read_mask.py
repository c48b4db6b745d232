"""Read masks, for every resource whose reads have them, on every database (AIP-157, AIP-161)."""

import pytest

from tablestakes.app import App
from tablestakes.testing.contract.common import SESSION_LOOP, invalid
from tablestakes.testing.contract.statements import counting
from tablestakes.testing.projection import paths_of, projected
from tablestakes.testing.resource import Contract

# Fields within fields that are asked for: into a message, and into one inside of it.
DEPTH = 3


def mask(*paths: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the mask of some paths."""
    return {"paths": [".".join(path) for path in paths]}


def masks(contract: Contract) -> list[tuple[tuple[str, ...], ...]]:
    """Return masks that together have every path of a resource, alone and beside others."""
    paths = list(paths_of(contract.facts.descriptor, DEPTH))
    return [*((path,) for path in paths), tuple(paths[::2]), tuple(paths[1::2])]


@SESSION_LOOP
@pytest.mark.verbs("Get")
@pytest.mark.traits("read_mask")
class TestReadMask:
    """Read masks, for every resource whose reads have them, on every database (AIP-157, AIP-161)."""

    async def test_get_returns_what_its_mask_selects(self, contract: Contract) -> None:
        """Get returns exactly the fields that a mask names, also inside messages and items; `*` is all of them."""
        name = (await contract.create()).name
        stored = await contract.get(name)
        assert await contract.get(name, read_mask={"paths": ["*"]}) == stored
        for paths in masks(contract):
            assert await contract.get(name, read_mask=mask(*paths)) == projected(stored, paths), paths

    @pytest.mark.verbs("BatchGet")
    async def test_many_return_what_their_mask_selects(self, contract: Contract) -> None:
        """BatchGet, and List where there is one, return of each resource what a mask names."""
        names = [(await contract.create()).name for _ in range(2)]
        stored = [await contract.get(name) for name in names]
        for paths in masks(contract)[-2:]:
            expected = [projected(each, paths) for each in stored]
            assert await contract.batch(names, read_mask=mask(*paths)) == expected
            if "List" in contract.facts.methods:
                named = (*paths, ("name",))
                listed = {each.name: each for each in await contract.everything(read_mask=mask(*named))}
                assert [listed[name] for name in names] == [projected(each, named) for each in stored]

    async def test_only_what_is_asked_for_is_read(self, contract: Contract, app: App) -> None:
        """A mask of one field runs a statement that has no column of another, and none for other collections."""
        name = (await contract.create()).name
        facts = contract.facts
        own = {column.name for column in facts.names.columns}
        for path in paths_of(facts.descriptor, 1):
            with counting(app) as statements:
                await contract.get(name, read_mask=mask(path))
            kept = {column.name for column in facts.columns(path[0])} if path != ("name",) else set()
            assert len(statements) == 1 + (path[0] in facts.collections)
            selected = statements[0].partition(" FROM ")[0]
            others = {column.name for column in facts.table.columns} - kept - own
            # The default of a singleton's field is read beside its key, and beside the times of its parent.
            assert not [column for column in others if f"{facts.table.name}.{column}," in f"{selected},"]

    async def test_a_path_that_is_none_is_refused(self, contract: Contract) -> None:
        """A misspelt path is INVALID_ARGUMENT on `read_mask`, with the field that it resembles."""
        name = (await contract.create(plain=True)).name
        field = contract.facts.descriptor.fields[-1].name
        for paths, expected in (
            ([f"{field}x"], f"did you mean {field}?"),
            (["name", f"{field}.nothing"], f"'{field}.nothing'"),
            (["name.x"], "no fields of its own"),
            ([""], "there are: "),
            (["*", "name"], "must be the only path"),
        ):
            answer = await invalid(contract.get(name, read_mask={"paths": paths}))
            assert list(answer.fields) == ["read_mask"]
            assert expected in answer.fields["read_mask"]
