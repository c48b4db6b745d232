"""BatchGet, for every resource on every database (AIP-231)."""

import pytest

from tablestakes.app import App
from tablestakes.testing.contract.common import SESSION_LOOP, invalid, not_found
from tablestakes.testing.contract.statements import counting
from tablestakes.testing.resource import Contract

MOST = 1000


@SESSION_LOOP
@pytest.mark.verbs("BatchGet", "Get")
class TestBatchGet:
    """BatchGet, for every resource on every database (AIP-231)."""

    async def test_many_come_in_the_order_of_their_names(self, contract: Contract, app: App) -> None:
        """BatchGet has what Get has of each name, in their order, in a statement and one for each collection."""
        names = [(await contract.create()).name for _ in range(5)]
        wanted = [names[index] for index in (3, 0, 4, 0, 1, 2, 3)]
        with counting(app) as statements:
            found = await contract.batch(wanted)
        assert len(statements) == 1 + len(contract.facts.collections)
        assert found == [await contract.get(name) for name in wanted]

    async def test_one_that_is_not_there_is_the_answer_for_all(self, contract: Contract) -> None:
        """A name of nothing among others is NOT_FOUND, and the error repeats it."""
        name = (await contract.create()).name
        answer = await not_found(contract.batch([name, contract.nothing, name]))
        assert answer.info.metadata["resource"] == contract.nothing
        await not_found(contract.batch([name, contract.named("abc")]))

    async def test_a_name_of_another_form_is_refused_by_its_place(self, contract: Contract) -> None:
        """A name that is not of the resource's pattern is INVALID_ARGUMENT on its place among the names."""
        name = (await contract.create()).name
        assert list((await invalid(contract.batch([name, f"{name}/"]))).fields) == ["names[1]"]

    async def test_none_and_too_many_are_refused(self, contract: Contract) -> None:
        """No names at all, and more than 1000, are INVALID_ARGUMENT on `names`; 1000 are not."""
        name = (await contract.create()).name
        assert len(await contract.batch([name] * MOST)) == MOST
        # By a rule of the proto, where it has one.
        for names, reasons in (
            ([], {"REQUIRED_FIELD"}),
            ([name] * (MOST + 1), {"BATCH_SIZE", "REPEATED_MAX_ITEMS"}),
        ):
            answer = await invalid(contract.batch(names))
            assert list(answer.fields) == ["names"]
            assert answer.reasons["names"] in reasons

    @pytest.mark.traits("parents")
    async def test_all_are_below_the_parent(self, contract: Contract) -> None:
        """A name below another parent than the request's is INVALID_ARGUMENT; `-` and no parent are any."""
        first, second = (await contract.under("").create()).name, (await contract.under("").create()).name
        parents = ["/".join(name.split("/")[: contract.names.parent.count("/") + 1]) for name in (first, second)]
        anywhere = "/".join("-" if step.startswith("{") else step for step in contract.names.parent.split("/"))
        for parent in ("", anywhere):
            assert [each.name for each in await contract.batch([first, second], parent=parent)] == [first, second]
        assert [each.name for each in await contract.batch([first], parent=parents[0])] == [first]
        answer = await invalid(contract.batch([first, second], parent=parents[0]))
        assert answer.reasons == {"names[1]": "PARENT_MISMATCH"}
        assert list((await invalid(contract.batch([first], parent="x"))).fields) == ["parent"]

    @pytest.mark.traits("parent")
    async def test_an_id_below_another_parent_is_not_found(self, contract: Contract) -> None:
        """The id of a resource below a parent that it is not below is NOT_FOUND, as it is for Get."""
        name = (await contract.create()).name
        other = f"{await contract.new_parent()}{name[len(contract.parent) :]}"
        await not_found(contract.batch([name, other]))
