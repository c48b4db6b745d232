"""Fields that hold many names, for every resource that has any, on every database."""

import pytest

from tablestakes.testing.contract.common import (
    SESSION_LOOP,
    check_later,
    invalid,
    remove,
)
from tablestakes.testing.resource import Contract
from tablestakes.testing.sample import refers_to


def lists(contract: Contract) -> list[tuple[str, Contract]]:
    """Return the fields that hold many names, each with the contract of what they refer to."""
    served = contract.served
    return [(field.name, contract.of(served.by_type[refers_to(field)])) for field in contract.facts.name_lists]


@SESSION_LOOP
@pytest.mark.verbs("Create", "Get")
@pytest.mark.traits("names")
class TestNameList:
    """Fields that hold many names, for every resource that has any, on every database."""

    async def test_the_second_of_many_names_is_refused_by_its_index(self, contract: Contract) -> None:
        """Of many names the one at fault is told by its index: what is not there, cannot be, or is no name."""
        for field, to in lists(contract):
            (known,) = await to.several(1)
            path = f"{contract.body}.{field}[1]"
            for name, reason in (
                (to.nothing, "REFERENCE_NOT_FOUND"),
                (to.named("a\0"), "REFERENCE_NOT_FOUND"),
                ("things/1", "INVALID_RESOURCE_NAME"),
            ):
                sent = await contract.sample()
                getattr(sent, field)[:] = [known, name]
                assert (await invalid(contract.create(sent))).reasons == {path: reason}
            getattr(sent, field)[:] = [known, ""]
            assert list((await invalid(contract.create(sent))).fields) == [path]

    async def test_many_names_come_back_in_one_order(self, contract: Contract) -> None:
        """Names that were sent in any order are all returned, each once and always in the same order."""
        for field, to in lists(contract):
            names = await to.several(4)
            for sent_names in (names, names[::-1], [names[2], names[0], names[3], names[1]]):
                sent = await contract.sample()
                getattr(sent, field)[:] = sent_names
                created = await contract.create(sent)
                assert getattr(created, field) == to.in_order(names)
                assert await contract.get(created.name) == created

    async def test_a_name_that_is_sent_twice_is_refused(self, contract: Contract) -> None:
        """A name twice in one list, which says that it has none twice, is INVALID_ARGUMENT on the list."""
        for field, to in lists(contract):
            (name,) = await to.several(1)
            sent = await contract.sample()
            getattr(sent, field)[:] = [name, name]
            assert (await invalid(contract.create(sent))).reasons == {f"{contract.body}.{field}": "REPEATED_UNIQUE"}

    @pytest.mark.verbs("Update")
    async def test_many_names_are_replaced_and_emptied_by_mask(self, contract: Contract) -> None:
        """An Update by mask replaces all the names of a list, or empties it, and moves update_time each time."""
        for field, to in lists(contract):
            before = await contract.create()
            old, new = list(getattr(before, field)), await to.several(2)
            for names in (new, [*new, old[0]], old, []):
                change = type(before)(name=before.name)
                getattr(change, field).extend(names)
                after = await contract.update(change, field)
                assert sorted(getattr(after, field)) == sorted(names)
                assert await contract.get(before.name) == after
                check_later(before, after)
                before = after

    @pytest.mark.verbs("Update")
    async def test_many_names_stay_where_they_are_not_written(self, contract: Contract) -> None:
        """An Update whose mask does not name a list, or that has no mask and no names, leaves the list as it is."""
        for field, _ in lists(contract):
            before = await contract.create()
            other = next(name for name in contract.changeable if name != field)
            change = await contract.change_of(before)
            assert getattr(await contract.update(change, other), field) == getattr(before, field)
            change = await contract.replacement_of(before)
            change.ClearField(field)
            assert getattr(await contract.update(change), field) == getattr(before, field)
            assert getattr(await contract.update(change, "*"), field) == []

    @pytest.mark.verbs("Update")
    async def test_a_refused_list_changes_nothing(self, contract: Contract) -> None:
        """An Update with a name of nothing in a list writes no field at all, and is told the name's index."""
        for field, to in lists(contract):
            before = await contract.create()
            change = await contract.replacement_of(before)
            getattr(change, field)[1] = to.nothing
            for mask in ((field,), tuple(contract.changeable), ("*",), ()):
                answer = await invalid(contract.update(change, *mask))
                assert answer.reasons == {f"{contract.body}.{field}[1]": "REFERENCE_NOT_FOUND"}
                assert await contract.get(before.name) == before

    @pytest.mark.verbs("Delete")
    async def test_a_deleted_resource_lets_go_of_its_names(self, contract: Contract) -> None:
        """A resource that only a deleted one had in its list can be deleted too."""
        for field, to in lists(contract):
            created = await contract.create()
            await remove(contract, created.name)
            for name in getattr(created, field):
                await to.call("Delete", name=name)
