"""BatchCreate, BatchUpdate and BatchDelete, for every resource that has them, on every database (AIP-233-235)."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import grpc
import pytest

from tablestakes.app import App
from tablestakes.testing.contract.common import SESSION_LOOP, check_deleted, check_told, invalid, not_found, refused
from tablestakes.testing.contract.statements import counting
from tablestakes.testing.resource import Contract, copy_fields, told

NAMES = 6
"""Statements for the locks, the ids and the rows of a batch, and what SQLite runs besides to read them back."""

EACH_COLLECTION = 5
"""Statements for a collection: what it refers to, its old rows, its new ones, and reading them."""


async def creations(contract: Contract, count: int, **fields: Any) -> list[dict[str, Any]]:
    """Return requests of Creates below one parent, each with a sample."""
    parent = {"parent": contract.parent or await contract.new_parent()} if contract.names.parent else {}
    return [
        {contract.body: await contract.sample(), **await contract.beside(**parent), **fields} for _ in range(count)
    ]


async def created(contract: Contract, count: int) -> list[Any]:
    """Create resources by one batch."""
    return resources(await contract.call("BatchCreate", requests=await creations(contract, count)))


def resources(response: Any) -> list[Any]:
    """Return the resources of a response."""
    (field,) = response.DESCRIPTOR.fields
    return list(getattr(response, field.name))


def items(answer: Any) -> str:
    """Return the indices of the refused items."""
    return str(answer.info.metadata["items"])


async def below(contract: Contract, message: Any) -> Mapping[str, str]:
    """Return the parent of a resource as a request's field; none where the resource has none."""
    if not contract.names.parent:
        return {}
    steps = contract.names.parent.count("/") + 1
    return {"parent": "/".join(message.name.split("/")[:steps])}


@SESSION_LOOP
@pytest.mark.verbs("BatchCreate", "Get")
class TestBatchCreate:
    """BatchCreate, for every resource that has it, on every database (AIP-233)."""

    async def test_many_are_created_in_the_order_of_the_requests(self, contract: Contract, app: App) -> None:
        """Resources are those of Creates, in the order of the requests, in as many statements for 2 as for 6."""
        ran = []
        for count in (2, 6):
            requests = await creations(contract, count)
            with counting(app) as statements:
                answers = resources(await contract.call("BatchCreate", requests=requests))
            ran.append(len(statements))
            for request, answer in zip(requests, answers, strict=True):
                check_told(contract.shown(answer), contract.shown(request[contract.body]))
                assert await contract.get(answer.name) == answer
        # A function serves each item by itself.
        if contract.facts.methods["Create"].name not in contract.resource.methods:
            assert ran[0] == ran[1] <= NAMES + EACH_COLLECTION * len(contract.facts.collections)

    @pytest.mark.traits("required")
    async def test_every_bad_item_is_named_and_nothing_is_created(self, contract: Contract) -> None:
        """Of several bad items each is named by its index with its fields, and no item is created."""
        requests = await creations(contract, 5)
        for index in (1, 3, 4):
            requests[index][contract.body] = contract.resource.message()
        answer = await invalid(contract.call("BatchCreate", requests=requests))
        wanted = {f"requests[{index}].{path}" for index in (1, 3, 4) for path in contract.facts.required()}
        # A status has room for so many fields, and for the index of each item.
        assert set(answer.fields) <= wanted
        assert len(answer.fields) == min(len(wanted), 20)
        assert items(answer) == "1,3-4"

    @pytest.mark.traits("unique")
    async def test_every_taken_value_is_named(self, contract: Contract) -> None:
        """A value that is taken, or that two items share, is ALREADY_EXISTS on each item that has it."""
        for fields in contract.facts.unique:
            requests = await creations(contract, 4)
            taken = await contract.sample()
            await contract.create(taken)
            copy_fields(taken, requests[1][contract.body], fields)
            copy_fields(requests[0][contract.body], requests[3][contract.body], fields)
            answer = await refused(contract.call("BatchCreate", requests=requests))
            assert answer.code is grpc.StatusCode.ALREADY_EXISTS
            assert items(answer) == "1,3"
            paths = {f"requests[{index}].{contract.body}.{field}" for index in (1, 3) for field in fields}
            # The parent besides, where a value is unique below it alone.
            assert {path for path in answer.fields if not path.endswith(".parent")} == paths
            del requests[3], requests[1]
            assert len(resources(await contract.call("BatchCreate", requests=requests))) == 2

    @pytest.mark.traits("parent")
    async def test_all_are_below_the_parent(self, contract: Contract) -> None:
        """An item below another parent than the batch's is refused, and one without a parent has the batch's."""
        first, second = [await creations(contract.under(""), 1) for _ in range(2)]
        parent = first[0]["parent"]
        answer = await invalid(contract.call("BatchCreate", parent=parent, requests=first + second))
        assert answer.reasons == {"requests[1]": "PARENT_MISMATCH"}
        del first[0]["parent"]
        (answered,) = resources(await contract.call("BatchCreate", parent=parent, requests=first))
        assert answered.name.startswith(f"{parent}/")

    @pytest.mark.traits("parent")
    async def test_a_missing_parent_is_named(self, contract: Contract) -> None:
        """Items below a parent that does not exist are NOT_FOUND, and the others are not created."""
        requests = await creations(contract, 3)
        requests[1]["parent"] = contract.above.nothing
        answer = await not_found(contract.call("BatchCreate", requests=requests))
        assert items(answer) == "1"

    @pytest.mark.traits("BatchCreate validate_only", "BatchCreate request_id")
    async def test_it_is_rehearsed_and_repeated(self, contract: Contract) -> None:
        """With validate_only nothing is created; with a request_id the same batch is created once."""
        requests = await creations(contract, 2)
        rehearsed = resources(await contract.call("BatchCreate", requests=requests, validate_only=True))
        for each in rehearsed:
            await not_found(contract.get(each.name))
        id_ = str(uuid4())
        answers = [await contract.call("BatchCreate", requests=requests, request_id=id_) for _ in range(2)]
        assert answers[0] == answers[1]

    async def test_no_item_has_what_the_batch_has(self, contract: Contract) -> None:
        """A request_id or validate_only of an item is refused, for the batch takes effect as a whole."""
        for fields in ({"request_id": str(uuid4())}, {"validate_only": True}):
            if not set(fields) <= set(contract.facts.methods["Create"].input_type.fields_by_name):
                continue
            requests = await creations(contract, 2, **fields)
            answer = await invalid(contract.call("BatchCreate", requests=requests))
            (name,) = fields
            assert answer.reasons == {f"requests[{index}].{name}": "ITEM_FIELD" for index in (0, 1)}

    async def test_none_and_too_many_are_refused(self, contract: Contract) -> None:
        """A batch without items, and one with more than 1000, are INVALID_ARGUMENT on `requests`."""
        (one,) = await creations(contract, 1)
        for count in (0, 1001):
            answer = await invalid(contract.call("BatchCreate", requests=[one] * count))
            assert answer.reasons == {"requests": "BATCH_SIZE"}


@SESSION_LOOP
@pytest.mark.verbs("BatchUpdate", "BatchCreate", "Get")
class TestBatchUpdate:
    """BatchUpdate, for every resource that has it, on every database (AIP-234)."""

    async def test_each_is_changed_by_its_own_mask(self, contract: Contract, app: App) -> None:
        """Each item writes what its mask selects and nothing else, in as many statements for 2 as for 6."""
        ran = []
        for count in (2, 6):
            stored = await created(contract, count)
            changes = [await contract.replacement_of(each) for each in stored]
            masks = [[contract.changeable[index % len(contract.changeable)]] for index in range(count - 1)]
            requests = [
                {contract.body: change, "update_mask": {"paths": paths}}
                for change, paths in zip(changes, [*masks, ["*"]], strict=True)
            ]
            with counting(app) as statements:
                answers = resources(await contract.call("BatchUpdate", requests=requests))
            ran.append(len(statements))
            for before, request, answer in zip(stored, requests, answers, strict=True):
                wanted = told(before)
                paths = request["update_mask"]["paths"]
                wanted |= {
                    name: value
                    for name, value in told(request[contract.body]).items()
                    if paths == ["*"] or name in paths
                }
                assert told(answer) == wanted
                assert await contract.get(answer.name) == answer
        assert ran[0] <= ran[1] <= NAMES + EACH_COLLECTION * len(contract.facts.collections)

    async def test_every_missing_one_is_named(self, contract: Contract) -> None:
        """Names of nothing are NOT_FOUND, each by its index, and no other item is changed."""
        stored = await created(contract, 3)
        changes = [await contract.replacement_of(each) for each in stored]
        for index in (0, 2):
            changes[index].name = contract.nothing if index else contract.named("2147483646")
        requests = [{contract.body: each} for each in changes]
        answer = await refused(contract.call("BatchUpdate", requests=requests))
        assert answer.code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
        assert await contract.get(stored[1].name) == stored[1]

    @pytest.mark.traits("etag")
    async def test_every_stale_etag_is_named(self, contract: Contract) -> None:
        """One stale etag makes the batch ABORTED, and names the item; with the current ones it is done."""
        stored = await created(contract, 3)
        await contract.update(await contract.replacement_of(stored[1]))
        current = [await contract.get(each.name) for each in stored]
        changes = [await contract.replacement_of(each) for each in stored]
        for change, found in zip(changes, stored, strict=True):
            change.etag = found.etag
        answer = await refused(contract.call("BatchUpdate", requests=[{contract.body: each} for each in changes]))
        assert (answer.code, answer.info.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
        assert items(answer) == "1"
        assert answer.info.metadata["etag"] == current[1].etag
        assert [await contract.get(each.name) for each in stored] == current
        changes[1].etag = current[1].etag
        done = resources(await contract.call("BatchUpdate", requests=[{contract.body: each} for each in changes]))
        assert all(new.etag != old.etag for new, old in zip(done, current, strict=True))

    @pytest.mark.traits("unique")
    async def test_every_taken_value_is_named(self, contract: Contract) -> None:
        """A change to a value that another resource has is ALREADY_EXISTS on the item."""
        for fields in contract.facts.unique:
            if not set(fields) <= set(contract.changeable):
                continue
            stored = await created(contract, 3)
            changes = [await contract.replacement_of(each) for each in stored]
            copy_fields(stored[0], changes[2], fields)
            requests = [
                {contract.body: each, "update_mask": {"paths": fields}} for each in (changes[1], changes[2])
            ]
            answer = await refused(contract.call("BatchUpdate", requests=requests))
            assert answer.code is grpc.StatusCode.ALREADY_EXISTS
            assert set(answer.fields) == {f"requests[1].{contract.body}.{field}" for field in fields}

    async def test_no_resource_is_changed_twice(self, contract: Contract) -> None:
        """Two items of one resource are refused."""
        (stored,) = await created(contract, 1)
        requests = [{contract.body: await contract.replacement_of(stored)}] * 2
        answer = await invalid(contract.call("BatchUpdate", requests=requests))
        assert answer.reasons == {"requests[1]": "DUPLICATE_ITEM"}

    @pytest.mark.traits("BatchUpdate validate_only")
    async def test_a_rehearsal_changes_nothing(self, contract: Contract) -> None:
        """With validate_only it answers with the changes, and the resources stay as they were."""
        stored = await created(contract, 2)
        requests = [{contract.body: await contract.replacement_of(each)} for each in stored]
        answers = resources(await contract.call("BatchUpdate", requests=requests, validate_only=True))
        assert [told(each) for each in answers] == [told(each[contract.body]) for each in requests]
        assert [await contract.get(each.name) for each in stored] == stored

    @pytest.mark.traits("Update allow_missing")
    async def test_an_item_may_create(self, contract: Contract) -> None:
        """An item with allow_missing creates what is missing, beside others that change what is there."""
        stored, new = await created(contract, 2)
        await contract.call("Delete", name=new.name)
        changes = [await contract.replacement_of(stored), await contract.sample()]
        changes[1].name = new.name
        requests = [{contract.body: each, "allow_missing": True} for each in changes]
        answers = resources(await contract.call("BatchUpdate", requests=requests))
        assert [await contract.get(each.name) for each in (stored, new)] == answers


@SESSION_LOOP
@pytest.mark.verbs("BatchDelete", "BatchCreate", "Get")
class TestBatchDelete:
    """BatchDelete, for every resource that has it, on every database (AIP-235)."""

    async def test_many_are_deleted(self, contract: Contract, app: App) -> None:
        """Resources are gone, in as many statements for 2 as for 6."""
        ran = []
        for count in (2, 6):
            stored = await created(contract, count)
            with counting(app) as statements:
                await contract.call("BatchDelete", requests=[{"name": each.name} for each in stored])
            ran.append(len(statements))
            for each in stored:
                await check_deleted(contract, each.name)
        # Those that are deleted softly are deleted one after the other.
        assert ran[0] == ran[1] <= NAMES or contract.facts.deletes_softly

    async def test_every_missing_one_is_named(self, contract: Contract) -> None:
        """Names of nothing are NOT_FOUND, and nothing is deleted; with allow_missing the others are."""
        (stored,) = await created(contract, 1)
        requests: list[dict[str, Any]] = [{"name": stored.name}, {"name": contract.nothing}]
        answer = await not_found(contract.call("BatchDelete", requests=requests))
        assert items(answer) == "1"
        assert await contract.get(stored.name) == stored
        if contract.facts.asks("Delete", "allow_missing"):
            requests[1]["allow_missing"] = True
            await contract.call("BatchDelete", requests=requests)
            await check_deleted(contract, stored.name)

    @pytest.mark.traits("Delete etag")
    async def test_every_stale_etag_is_named(self, contract: Contract) -> None:
        """A stale etag makes the batch ABORTED, and nothing is deleted."""
        stored = await created(contract, 2)
        requests = [{"name": stored[0].name, "etag": stored[0].etag}, {"name": stored[1].name, "etag": '"1"'}]
        answer = await refused(contract.call("BatchDelete", requests=requests))
        assert answer.info.reason == "ETAG_MISMATCH"
        assert items(answer) == "1"
        assert [await contract.get(each.name) for each in stored] == stored

    @pytest.mark.traits("children")
    async def test_children_are_in_the_way_unless_forced(self, contract: Contract) -> None:
        """A resource with others below it is FAILED_PRECONDITION, by its index; with force all are deleted."""
        stored = await created(contract, 3)
        (child, *_) = contract.served.children(contract.facts)
        made = await contract.of(child, stored[1].name).create(plain=True)
        requests: list[dict[str, Any]] = [{"name": each.name} for each in stored]
        if not contract.facts.asks("Delete", "force"):
            return
        answer = await refused(contract.call("BatchDelete", requests=requests))
        assert (answer.code, answer.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "HAS_CHILDREN")
        assert items(answer) == "1"
        requests[1]["force"] = True
        await contract.call("BatchDelete", requests=requests)
        for name in (stored[0].name, stored[1].name):
            await check_deleted(contract, name)
        if not contract.facts.deletes_softly:
            await not_found(contract.of(child).get(made.name))

    @pytest.mark.traits("BatchDelete validate_only")
    async def test_a_rehearsal_deletes_nothing(self, contract: Contract) -> None:
        """With validate_only the resources are still there."""
        stored = await created(contract, 2)
        requests = [{"name": each.name} for each in stored]
        await contract.call("BatchDelete", requests=requests, validate_only=True)
        assert [await contract.get(each.name) for each in stored] == stored
