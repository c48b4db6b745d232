"""The contract of the standard methods by example: what a client of tags sends, and what it gets, word for word.

The suite that every resource inherits says the same of all of them, and is harder to read.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from marketplace.v1 import tag_pb2, tag_pb2_grpc

from marketplace_service import SERVICE as MARKETPLACE

# A service of these tests' own: there are no tags but theirs.
TESTED_SERVICE = replace(MARKETPLACE)
DOMAIN = "marketplace.example.com"
# The types of the details, which a client must know to read them.
DETAILS = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest)


@pytest.fixture
async def tags(channel: grpc.aio.Channel) -> AsyncIterator["tag_pb2_grpc.TagServiceAsyncStub"]:
    """The stub of a service without tags, which has none at the end either."""
    stub: tag_pb2_grpc.TagServiceAsyncStub = tag_pb2_grpc.TagServiceStub(channel)
    yield stub
    for tag in (await stub.ListTags(tag_pb2.ListTagsRequest(page_size=1000))).tags:
        await stub.DeleteTag(tag_pb2.DeleteTagRequest(name=tag.name))


async def status(call: Any) -> dict[str, Any]:
    """Return the status of a call, which must fail, as JSON."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    details = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    found: dict[str, Any] = MessageToDict(status_pb2.Status.FromString(details))
    return found


def error(code: grpc.StatusCode, message: str, reason: str, **details: Any) -> dict[str, Any]:
    """Return the JSON of a status whose ErrorInfo has a reason, and perhaps metadata; fields at fault follow."""
    metadata = {"metadata": details["metadata"]} if "metadata" in details else {}
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": DOMAIN, **metadata}
    expected: dict[str, Any] = {"code": code.value[0], "message": message, "details": [info]}
    if "fields" in details:
        bad = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": details["fields"]}
        expected["details"].append(bad)
    return expected


NO_JAZZ = error(
    grpc.StatusCode.NOT_FOUND,
    "tags/jazz does not exist.",
    "RESOURCE_NOT_FOUND",
    metadata={"resource": "tags/jazz"},
)


async def create(tags: "tag_pb2_grpc.TagServiceAsyncStub", *ids: str) -> list[tag_pb2.Tag]:
    """Create tags with ids, named by them."""
    return [
        await tags.CreateTag(tag_pb2.CreateTagRequest(tag_id=each, tag=tag_pb2.Tag(display_name=each)))
        for each in ids
    ]


async def test_create(tags: "tag_pb2_grpc.TagServiceAsyncStub") -> None:
    """CreateTag returns the tag with its name and its times; a name and times that are sent are ignored."""
    sent = tag_pb2.Tag(name="tags/other", display_name="Jazz", create_time=Timestamp(seconds=1))
    created = await tags.CreateTag(tag_pb2.CreateTagRequest(tag_id="jazz", tag=sent))
    assert created.create_time.seconds > 1
    assert created.etag
    assert created == tag_pb2.Tag(
        name="tags/jazz",
        display_name="Jazz",
        create_time=created.create_time,
        update_time=created.create_time,
        etag=created.etag,
    )


async def test_create_what_is_there(tags: "tag_pb2_grpc.TagServiceAsyncStub") -> None:
    """CreateTag under an id that is taken is ALREADY_EXISTS on `tag_id`."""
    await create(tags, "jazz")
    request = tag_pb2.CreateTagRequest(tag_id="jazz", tag=tag_pb2.Tag(display_name="Another"))
    assert await status(tags.CreateTag(request)) == error(
        grpc.StatusCode.ALREADY_EXISTS,
        "Another resource has the same tag_id.",
        "ALREADY_EXISTS",
        metadata={"field": "tag_id"},
        fields=[{"field": "tag_id", "description": "is taken by another resource.", "reason": "ALREADY_EXISTS"}],
    )


async def test_create_nothing(tags: "tag_pb2_grpc.TagServiceAsyncStub") -> None:
    """CreateTag without anything is INVALID_ARGUMENT on each field that must be set."""
    answer = await status(tags.CreateTag(tag_pb2.CreateTagRequest()))
    fields = answer["details"][1]["fieldViolations"]
    assert answer["code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert fields == [
        {"field": "tag", "description": "must be set.", "reason": "REQUIRED_FIELD"},
        {"field": "tag_id", "description": "must be set.", "reason": "REQUIRED_FIELD"},
    ]


@pytest.mark.parametrize("tag_id", ["A", "é", "7", "a-", "-a", "a_b", "x" * 64, "x" * 5000])
async def test_create_under_an_id_that_is_none(tags: "tag_pb2_grpc.TagServiceAsyncStub", tag_id: str) -> None:
    """CreateTag under an id that breaks the rules of the proto is INVALID_ARGUMENT on `tag_id`."""
    answer = await status(
        tags.CreateTag(tag_pb2.CreateTagRequest(tag_id=tag_id, tag=tag_pb2.Tag(display_name="x")))
    )
    assert answer["code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert [each["field"] for each in answer["details"][1]["fieldViolations"]] == ["tag_id"]


async def test_get(tags: "tag_pb2_grpc.TagServiceAsyncStub") -> None:
    """GetTag returns what CreateTag returned."""
    (created,) = await create(tags, "jazz")
    assert await tags.GetTag(tag_pb2.GetTagRequest(name="tags/jazz")) == created


async def test_get_nothing(tags: "tag_pb2_grpc.TagServiceAsyncStub") -> None:
    """GetTag of what is not there is NOT_FOUND, with its name for programs."""
    assert await status(tags.GetTag(tag_pb2.GetTagRequest(name="tags/jazz"))) == error(
        grpc.StatusCode.NOT_FOUND,
        "tags/jazz does not exist.",
        "RESOURCE_NOT_FOUND",
        metadata={"resource": "tags/jazz"},
    )


async def test_get_by_another_form(tags: "tag_pb2_grpc.TagServiceAsyncStub") -> None:
    """GetTag by what is no name of a tag is INVALID_ARGUMENT on `name`."""
    answer = await status(tags.GetTag(tag_pb2.GetTagRequest(name="users/1")))
    assert answer["code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert answer["details"][1]["fieldViolations"] == [
        {"field": "name", "description": "must be of the form tags/{tag}.", "reason": "INVALID_RESOURCE_NAME"}
    ]


async def test_list(tags: "tag_pb2_grpc.TagServiceAsyncStub") -> None:
    """ListTags returns the tags in the order of their ids, a page at a time."""
    await create(tags, "rock", "jazz", "blues")
    first = await tags.ListTags(tag_pb2.ListTagsRequest(page_size=2))
    assert [tag.name for tag in first.tags] == ["tags/blues", "tags/jazz"]
    second = await tags.ListTags(tag_pb2.ListTagsRequest(page_size=2, page_token=first.next_page_token))
    assert [tag.name for tag in second.tags] == ["tags/rock"]
    assert second.next_page_token == ""


async def test_list_nothing(tags: "tag_pb2_grpc.TagServiceAsyncStub") -> None:
    """ListTags without tags returns an empty page."""
    assert await tags.ListTags(tag_pb2.ListTagsRequest()) == tag_pb2.ListTagsResponse()


async def test_update(tags: "tag_pb2_grpc.TagServiceAsyncStub") -> None:
    """UpdateTag changes the fields of the mask, and update_time with them."""
    (created,) = await create(tags, "jazz")
    change = tag_pb2.Tag(name="tags/jazz", display_name="Jazz and more")
    request = tag_pb2.UpdateTagRequest(tag=change, update_mask=FieldMask(paths=["display_name"]))
    after = await tags.UpdateTag(request)
    assert after.update_time.ToNanoseconds() > created.update_time.ToNanoseconds()
    assert after == tag_pb2.Tag(
        name="tags/jazz",
        display_name="Jazz and more",
        create_time=created.create_time,
        update_time=after.update_time,
        etag=after.etag,
    )
    assert await tags.GetTag(tag_pb2.GetTagRequest(name="tags/jazz")) == after


async def test_update_what_has_changed(tags: "tag_pb2_grpc.TagServiceAsyncStub") -> None:
    """UpdateTag with the etag of what has changed since is ABORTED with the one that the tag has now."""
    (read,) = await create(tags, "jazz")
    mine, theirs = (tag_pb2.Tag(name=read.name, etag=read.etag, display_name=each) for each in ("Mine", "Theirs"))
    current = await tags.UpdateTag(tag_pb2.UpdateTagRequest(tag=theirs))
    assert await status(tags.UpdateTag(tag_pb2.UpdateTagRequest(tag=mine))) == error(
        grpc.StatusCode.ABORTED,
        f"tags/jazz is not the one that the etag was given out for: its etag is {current.etag} now.",
        "ETAG_MISMATCH",
        metadata={"resource": "tags/jazz", "etag": current.etag},
    )
    assert await tags.GetTag(tag_pb2.GetTagRequest(name="tags/jazz")) == current


async def test_update_what_must_be_set(tags: "tag_pb2_grpc.TagServiceAsyncStub") -> None:
    """UpdateTag that would empty a REQUIRED field is INVALID_ARGUMENT on its path."""
    await create(tags, "jazz")
    request = tag_pb2.UpdateTagRequest(
        tag=tag_pb2.Tag(name="tags/jazz"), update_mask=FieldMask(paths=["display_name"])
    )
    answer = await status(tags.UpdateTag(request))
    assert answer["details"][1]["fieldViolations"] == [
        {"field": "tag.display_name", "description": "must be set.", "reason": "REQUIRED_FIELD"}
    ]


async def test_delete(tags: "tag_pb2_grpc.TagServiceAsyncStub") -> None:
    """DeleteTag returns an empty message, and the tag is not found again."""
    await create(tags, "jazz")
    assert await tags.DeleteTag(tag_pb2.DeleteTagRequest(name="tags/jazz")) == empty_pb2.Empty()
    assert await status(tags.DeleteTag(tag_pb2.DeleteTagRequest(name="tags/jazz"))) == error(
        grpc.StatusCode.NOT_FOUND,
        "tags/jazz does not exist.",
        "RESOURCE_NOT_FOUND",
        metadata={"resource": "tags/jazz"},
    )
