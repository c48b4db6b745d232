"""Streams of responses: one snapshot, the caller's own pace, and a connection that always goes back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc import StatusCode
from marketplace.v1 import post_pb2, post_pb2_grpc, tag_pb2, tag_pb2_grpc
from sqlalchemy import delete, func, insert, select, update

from marketplace_service.models.post import Post
from marketplace_service.models.user import User
from tablestakes import Session
from tablestakes.app import App
from tablestakes.testing.plugin import DATABASES
from tablestakes.testing.status import refusal
from tests.serving import create_database, eventually, serving, settings_for

ROWS = 600

# Bytes of a post's content: far more in all of them than gRPC and the kernel keep for a caller who reads nothing.
WIDE = 60_000


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=DATABASES)
async def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    """A server of these tests' own, with posts in its database, that streams to one caller at once."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('streams')}/streams.db"
    else:
        url = await create_database(request.getfixturevalue("server_of_postgres"))
    async with serving(settings_for(url, max_streams=1)) as running:
        await running.database.run(_insert)
        yield running


@pytest.fixture
async def posts(own: App) -> AsyncIterator["post_pb2_grpc.PostServiceAsyncStub"]:
    """The stub of its posts, once nobody streams."""
    await eventually(lambda: not _held(own))
    async with grpc.aio.insecure_channel(own.address) as channel:
        stub: post_pb2_grpc.PostServiceAsyncStub = post_pb2_grpc.PostServiceStub(channel)
        yield stub


def _insert(connection: Any) -> None:
    times = Session(connection).created
    connection.execute(insert(User), {"id": 1, "email": "ann@example.com", "username": "ann", **times})
    rows = [{"author_id": 1, "title": f"{number:06}", "content": "x" * WIDE, **times} for number in range(ROWS)]
    connection.execute(insert(Post), rows)


async def _titles(app: App) -> list[str]:
    """Return the titles of all posts, in the order of a list."""
    statement = select(Post.title).order_by(Post.id)
    return await app.database.run(lambda connection: list(connection.scalars(statement)))


def _export(posts: Any, token: str = "", **options: Any) -> Any:
    return posts.ExportPosts(post_pb2.ExportPostsRequest(page_token=token), **options)


def _held(app: App) -> int:
    pools: list[Any] = [engine.sync_engine.pool for engine in app.database.engines.values()]
    return sum(pool.checkedout() for pool in pools)


def _counted(app: App, name: str, **labels: str) -> float:
    of = {"grpc_type": "server_stream", "grpc_service": "marketplace.v1.PostService"}
    return app.registry.get_sample_value(name, {**of, "grpc_method": "ExportPosts", **labels}) or 0.0


async def _names(call: Any) -> list[str]:
    return [post.title async for response in call for post in response.posts]


async def _refused(call: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _names(call)
    return refusal(caught.value)


async def test_an_export_is_of_one_moment(own: App, posts: Any) -> None:
    """An export has no write that came while it ran, and one that goes on after it has."""
    before = await _titles(own)
    call = _export(posts)
    first = await anext(aiter(call))

    def change(connection: Any) -> None:
        connection.execute(delete(Post).where(Post.title == before[-1]))
        connection.execute(update(Post).where(Post.title == before[-2]).values(content="changed"))
        connection.execute(insert(Post), {"author_id": 1, "title": "new", **Session(connection).created})

    await own.database.run(change)
    met, contents = [each.title for each in first.posts], set[str]()
    async for response in call:
        met += [each.title for each in response.posts]
        contents |= {each.content for each in response.posts}
    assert met == before
    assert contents == {"x" * WIDE}
    await eventually(lambda: not _held(own))
    again = await _names(_export(posts, first.next_page_token))
    assert again == [*before[len(first.posts) : -1], "new"]


async def test_an_export_goes_on_after_each_of_its_tokens(own: App, posts: Any) -> None:
    """The token of any response finds what came after it, and the last response has none."""
    responses = [response async for response in _export(posts)]
    assert [bool(response.next_page_token) for response in responses] == [True] * (len(responses) - 1) + [False]
    everything = [post.title for response in responses for post in response.posts]
    assert everything == await _titles(own)
    for index in (0, len(responses) // 2, len(responses) - 2):
        done = sum(len(response.posts) for response in responses[: index + 1])
        await eventually(lambda: not _held(own))
        assert await _names(_export(posts, responses[index].next_page_token)) == everything[done:]


async def test_an_export_waits_for_its_caller(own: App, posts: Any) -> None:
    """To a caller who reads nothing the server sends what gRPC has room for, and others are served meanwhile."""
    call = _export(posts)
    before, seen, quiet = _counted(own, "grpc_server_msg_sent_total"), 0.0, 0
    while quiet < 20:
        sent = _counted(own, "grpc_server_msg_sent_total") - before
        quiet = quiet + 1 if sent == seen and sent else 0
        seen = sent
        await asyncio.sleep(0.05)
    listed = await posts.ListPosts(post_pb2.ListPostsRequest(page_size=1))
    assert len(listed.posts) == 1
    assert _held(own) == 1
    assert await _names(call) == await _titles(own)
    assert seen < (_counted(own, "grpc_server_msg_sent_total") - before) / 2


@pytest.mark.parametrize("leaves", ["cancels", "closes its channel"])
async def test_a_caller_who_leaves_gives_the_connection_back(own: App, posts: Any, leaves: str) -> None:
    """An export whose caller leaves ends, counted as Canceled, and another can have its connection."""
    before = _counted(own, "grpc_server_handled_total", grpc_code="Canceled")
    async with grpc.aio.insecure_channel(own.address) as channel:
        call = _export(post_pb2_grpc.PostServiceStub(channel))
        await anext(aiter(call))
        assert _held(own) == 1
        if leaves == "cancels":
            call.cancel()
    await eventually(lambda: _counted(own, "grpc_server_handled_total", grpc_code="Canceled") == before + 1)
    await eventually(lambda: not _held(own))
    assert (await anext(aiter(_export(posts)))).posts


async def test_a_deadline_ends_an_export(own: App, posts: Any) -> None:
    """An export whose caller is too slow for the deadline ends with it, and gives the connection back."""
    before = _counted(own, "grpc_server_handled_total", grpc_code="DeadlineExceeded")
    call = _export(posts, timeout=1.5)
    await anext(aiter(call))
    await eventually(lambda: _counted(own, "grpc_server_handled_total", grpc_code="DeadlineExceeded") == before + 1)
    await eventually(lambda: not _held(own))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _names(call)
    assert caught.value.code() is StatusCode.DEADLINE_EXCEEDED


async def test_the_longest_time_ends_an_export_without_a_deadline(tmp_path: Path) -> None:
    """The server's own bound ends an export whose caller reads nothing and set no deadline."""
    settings = settings_for(f"sqlite+aiosqlite:///{tmp_path}/longest.db", stream_deadline=0.5)
    async with serving(settings) as app, grpc.aio.insecure_channel(app.address) as channel:
        await app.database.run(_insert)
        call = _export(post_pb2_grpc.PostServiceStub(channel))
        await eventually(lambda: _held(app))
        await eventually(lambda: not _held(app))
        # Its status waits behind the responses that the caller has not taken.
        answer = await _refused(call)
    assert (answer.code, answer.info.reason) == (StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_too_many_exports_are_refused(posts: Any) -> None:
    """An export beyond the most is UNAVAILABLE, to be called again; one that has ended makes room."""
    call = _export(posts)
    await anext(aiter(call))
    answer = await _refused(_export(posts))
    assert (answer.code, answer.info.reason) == (StatusCode.UNAVAILABLE, "TOO_MANY_STREAMS")
    assert answer.info.metadata["limit"] == "1"
    await _names(call)
    assert (await anext(aiter(_export(posts)))).posts


async def test_an_export_is_counted_as_a_stream(own: App, posts: Any) -> None:
    """An export is one RPC of the type server_stream, with each of its messages and its statements."""
    before = _figures(own)
    responses = [response async for response in _export(posts)]
    await eventually(lambda: not _held(own))
    found = {name: value - before[name] for name, value in _figures(own).items()}
    sent = {"messages": len(responses), "bytes": sum(response.ByteSize() for response in responses)}
    assert found.pop("statements") > len(responses) // 2
    assert found == {"started": 1, "handled": 1, "received": 1, **sent}


def _figures(app: App) -> dict[str, float]:
    labels = {"grpc_service": "marketplace.v1.PostService", "grpc_method": "ExportPosts"}
    return {
        "started": _counted(app, "grpc_server_started_total"),
        "handled": _counted(app, "grpc_server_handled_total", grpc_code="OK"),
        "received": _counted(app, "grpc_server_msg_received_total"),
        "messages": _counted(app, "grpc_server_msg_sent_total"),
        "bytes": _counted(app, "grpc_server_msg_sent_bytes_sum"),
        # One for the cursor, and one for the tags of each batch.
        "statements": app.registry.get_sample_value("rpc_db_queries_sum", labels) or 0.0,
    }


async def test_a_drain_tells_an_export_how_to_go_on(tmp_path: Path) -> None:
    """An export that a drain finds unfinished ends with UNAVAILABLE, and its last token is good elsewhere."""
    settings = settings_for(f"sqlite+aiosqlite:///{tmp_path}/drain.db", drain_grace=2.0)
    async with serving(settings) as app, grpc.aio.insecure_channel(app.address) as channel:
        await app.database.run(_insert)
        call = _export(post_pb2_grpc.PostServiceStub(channel))
        responses = [await anext(aiter(call))]
        draining = asyncio.ensure_future(app.drain())
        # Later than half of the grace, until which it may end by itself.
        await asyncio.sleep(1.2)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            responses.extend([response async for response in call])
        await draining
    assert (caught.value.code(), refusal(caught.value).info.reason) == (StatusCode.UNAVAILABLE, "DRAINING")
    assert responses[0].next_page_token


async def test_a_database_in_memory_is_exported() -> None:
    """An export of a database in memory, which has one connection, holds up no write."""
    async with (
        serving(settings_for("sqlite+aiosqlite:///:memory:")) as app,
        grpc.aio.insecure_channel(app.address) as channel,
    ):
        await app.database.run(_insert)
        call = _export(post_pb2_grpc.PostServiceStub(channel))
        await anext(aiter(call))
        tags: Any = tag_pb2_grpc.TagServiceStub(channel)
        await tags.CreateTag(
            tag_pb2.CreateTagRequest(tag_id="while", tag=tag_pb2.Tag(display_name="While")), timeout=5
        )
        assert await app.database.run(lambda connection: connection.scalar(select(func.count()).select_from(Post)))
        assert len(await _names(call)) > 0
