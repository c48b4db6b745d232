"""Posts go from DRAFT over PUBLISHED to ARCHIVED, and no other way."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from marketplace.v1 import post_pb2

from tests.marketplace.client import Market, attempt, refused
from tests.status import Refusal

State = post_pb2.Post.State
STATES = ("DRAFT", "PUBLISHED", "ARCHIVED")
TARGETS = {"PublishPost": "PUBLISHED", "ArchivePost": "ARCHIVED"}
ALLOWED = {("DRAFT", "PublishPost"), ("PUBLISHED", "ArchivePost")}


async def test_the_states_are_the_contracts() -> None:
    """The tables above name every state of the proto, and every method that changes it."""
    assert {*STATES, "STATE_UNSPECIFIED"} == set(State.keys())
    (service,) = post_pb2.DESCRIPTOR.services_by_name.values()
    changing = {method.name for method in service.methods if "name" in method.input_type.fields_by_name}
    others = {"GetPost", "DeletePost", "UndeletePost", "GetComment", "DeleteComment"}
    assert changing - others == set(TARGETS)


async def test_a_view_and_a_mask_are_not_chosen_together(market: Market) -> None:
    """A Get with a view and a read mask is INVALID_ARGUMENT: neither says less than the other."""
    draft = await _post(market, "DRAFT")
    mask = FieldMask(paths=["title"])
    request = post_pb2.GetPostRequest(name=draft.name, view=post_pb2.POST_VIEW_FULL, read_mask=mask)
    answer = await refused(market.posts.GetPost(request))
    assert answer.reasons == {"view": "VIEW_AND_MASK"}


async def test_a_post_is_published_and_archived(market: Market) -> None:
    """A post begins as a DRAFT without a publish_time, which PublishPost sets and nothing changes after that."""
    draft = await _post(market, "DRAFT")
    assert (draft.state, draft.HasField("publish_time")) == (State.DRAFT, False)
    published = await _publish(market, draft.name)
    assert published.state == State.PUBLISHED
    assert published.publish_time == published.update_time
    assert published.publish_time.ToNanoseconds() > draft.create_time.ToNanoseconds()
    archived = await _archive(market, draft.name)
    assert archived.state == State.ARCHIVED
    assert archived.publish_time == published.publish_time
    assert archived.update_time.ToNanoseconds() > published.update_time.ToNanoseconds()
    assert await _read(market, draft.name) == archived


@pytest.mark.parametrize("method", TARGETS)
@pytest.mark.parametrize("state", STATES)
async def test_each_method_in_each_state(market: Market, state: str, method: str) -> None:
    """A method in a state that it may not leave names both states, and changes nothing; in another it succeeds."""
    before = await _post(market, state)
    call = _publish if method == "PublishPost" else _archive
    if (state, method) in ALLOWED:
        assert (await call(market, before.name)).state == State.Value(TARGETS[method])
        return
    told = await refused(call(market, before.name))
    assert (told.code, told.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STATE_NOT_ALLOWED")
    assert told.info.metadata == {"resource": before.name, "state": state, "target": TARGETS[method]}
    assert told.message == f"{before.name} is {state} and cannot become {TARGETS[method]}."
    assert await _read(market, before.name) == before


@pytest.mark.parametrize("method", TARGETS)
async def test_no_post_has_no_state(market: Market, method: str) -> None:
    """A change of state of a post that does not exist is NOT_FOUND."""
    told = await refused((_publish if method == "PublishPost" else _archive)(market, "posts/987654321"))
    assert (told.code, told.info.metadata["resource"]) == (grpc.StatusCode.NOT_FOUND, "posts/987654321")


@pytest.mark.parametrize(("method", "state"), [("PublishPost", "DRAFT"), ("ArchivePost", "PUBLISHED")])
async def test_of_many_at_once_one_succeeds(market: Market, method: str, state: str) -> None:
    """Of ten callers that change a post's state at once exactly one does, and the others learn of it."""
    post = await _post(market, state)
    call: Callable[[Market, str], Awaitable[post_pb2.Post]] = _publish if method == "PublishPost" else _archive
    answers = await asyncio.gather(*(attempt(call(market, post.name)) for _ in range(10)))
    told = [answer for answer in answers if isinstance(answer, Refusal)]
    assert [(answer.info.reason, answer.info.metadata["state"]) for answer in told] == [
        ("STATE_NOT_ALLOWED", TARGETS[method])
    ] * 9
    (changed,) = (answer for answer in answers if isinstance(answer, post_pb2.Post))
    assert await _read(market, post.name) == changed


async def test_a_new_post_is_a_draft_whatever_it_says(market: Market) -> None:
    """A state and a publish_time that a client sends with a new post are ignored."""
    author = (await market.user()).name
    sent = post_pb2.Post(author=author, title="New", state=State.PUBLISHED, publish_time=Timestamp(seconds=1))
    made = await market.posts.CreatePost(post_pb2.CreatePostRequest(post=sent))
    assert (made.state, made.HasField("publish_time")) == (State.DRAFT, False)
    assert await _read(market, made.name) == made


@pytest.mark.parametrize("paths", [[], ["state"], ["state", "publish_time"], ["title", "state"], ["*"]])
@pytest.mark.parametrize("state", STATES)
async def test_an_update_leaves_the_state(market: Market, state: str, paths: list[str]) -> None:
    """An Update that says another state changes none, with whatever mask, and leaves the publish_time."""
    before = await _post(market, state)
    sent = post_pb2.Post(
        name=before.name,
        author=before.author,
        title="Changed",
        state=State.DRAFT if state != "DRAFT" else State.ARCHIVED,
        publish_time=Timestamp(seconds=1),
    )
    request = post_pb2.UpdatePostRequest(post=sent, update_mask=FieldMask(paths=paths))
    after = await market.posts.UpdatePost(request)
    assert after.state == before.state == State.Value(state)
    assert after.HasField("publish_time") == (state != "DRAFT")
    assert after.publish_time == before.publish_time
    assert await _read(market, before.name) == after


async def _post(market: Market, state: str) -> post_pb2.Post:
    """Return a post in a state."""
    author = (await market.user()).name
    post = post_pb2.Post(author=author, title="Title", content="Content")
    made = await market.posts.CreatePost(post_pb2.CreatePostRequest(post=post))
    if state != "DRAFT":
        made = await _publish(market, made.name)
    if state == "ARCHIVED":
        made = await _archive(market, made.name)
    return made


async def _publish(market: Market, name: str) -> post_pb2.Post:
    return await market.posts.PublishPost(post_pb2.PublishPostRequest(name=name))


async def _archive(market: Market, name: str) -> post_pb2.Post:
    return await market.posts.ArchivePost(post_pb2.ArchivePostRequest(name=name))


async def _read(market: Market, name: str) -> post_pb2.Post:
    return await market.posts.GetPost(post_pb2.GetPostRequest(name=name, view=post_pb2.POST_VIEW_FULL))
