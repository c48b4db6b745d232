"""Get, for every resource on every database (AIP-131)."""

import grpc
import pytest

from tablestakes.testing.contract.common import (
    SESSION_LOOP,
    invalid,
    not_found,
    refused,
)
from tablestakes.testing.resource import Contract


@SESSION_LOOP
@pytest.mark.verbs("Get")
class TestGet:
    """Get, for every resource on every database (AIP-131)."""

    async def test_what_is_not_there_is_not_found(self, contract: Contract) -> None:
        """The name of nothing is NOT_FOUND, and the error repeats the name for programs."""
        name = contract.nothing
        answer = await refused(contract.get(name))
        assert answer.code is grpc.StatusCode.NOT_FOUND
        assert answer.info.metadata["resource"] == name
        assert name in answer.message

    @pytest.mark.parametrize(
        "key", ["abc", "007", "-", "-1", "+1", "1e3", "٣", "99999999999999999999", "9223372036854775808"]
    )
    async def test_an_id_that_no_row_can_have_is_not_found(self, contract: Contract, key: str) -> None:
        """An id that the server never gives out is NOT_FOUND: what ids look like is not the caller's to know."""
        await not_found(contract.get(contract.named(key)))

    @pytest.mark.parametrize(
        "name", ["x", "{0}/", "{1}/", "/{1}", "{1}/more/2", "things/1", "{1}\n", "{0}//1", "{0}", "{0}/{1}"]
    )
    async def test_a_name_of_another_form_is_refused(self, contract: Contract, name: str) -> None:
        """What is not of the resource's pattern is INVALID_ARGUMENT on `name`."""
        collection = contract.names.text.partition("/")[0]
        answer = await invalid(contract.get(name.format(collection, contract.named(1))))
        assert list(answer.fields) == ["name"]

    async def test_no_name_at_all_is_refused(self, contract: Contract) -> None:
        """A Get without a name says that one must be set."""
        assert (await refused(contract.get(""))).fields == {"name": "must be set."}

    @pytest.mark.verbs("Create")
    async def test_another_spelling_of_a_name_is_not_found(self, contract: Contract) -> None:
        """A resource has one name: its id in capitals, or with a zero, a sign or braces, is NOT_FOUND."""
        created = await contract.create(plain=True)
        above, _, id_ = created.name.rpartition("/")
        for other in {id_.upper(), id_.replace("-", ""), f"0{id_}", f"+{id_}", f"{{{id_}}}", f"{id_}.0"} - {id_}:
            await not_found(contract.get(f"{above}/{other}"))
