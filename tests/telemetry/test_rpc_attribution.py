"""Over real gRPC, each statement is charged to the RPC that sent it, and to none after that RPC has ended."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from marketplace.v1 import post_pb2, tag_pb2, tag_pb2_grpc, user_pb2

from tablestakes.app import App
from tests.gadgets import gadget_pb2, gadget_pb2_grpc
from tests.marketplace.client import Market
from tests.serving import eventually, serving, settings_for
from tests.telemetry.marketplace_load import market
from tests.telemetry.metrics_scrape import Growth, scrape

STATEMENTS = "db_client_operation_duration_seconds_count"
POKE = {"grpc_method": "PokeGadget"}


@pytest.fixture
async def shop(empty_url: str) -> AsyncIterator[Market]:
    """A marketplace with few connections, on each database."""
    async with market(empty_url) as (running, _):
        yield running


@pytest.fixture
async def gadgets(postgres_url: str) -> AsyncIterator[tuple[App, Any]]:
    """A server on PostgreSQL, and the stub of an RPC that takes as long as requested."""
    async with (
        serving(settings_for(postgres_url, pool_size=2)) as app,
        grpc.aio.insecure_channel(app.address) as channel,
    ):
        yield app, gadget_pb2_grpc.GadgetServiceStub(channel)


async def test_a_hundred_calls_at_once_keep_their_own_accounts(shop: Market) -> None:
    """In 125 concurrent calls, each call is charged exactly the statements of its method.

    On SQLite writes share transactions, and the BEGIN of each is a statement of the write that began it.
    """
    user = await shop.user()
    tags = tag_pb2_grpc.TagServiceStub(shop.channel)
    tag = await tags.CreateTag(tag_pb2.CreateTagRequest(tag=tag_pb2.Tag(display_name="t"), tag_id="t"))
    post = post_pb2.Post(author=user.name, title="A title", content="Words.", tags=[tag.name])
    made = await shop.posts.CreatePost(post_pb2.CreatePostRequest(post=post))
    calls: dict[str, tuple[int, Callable[[], Awaitable[object]]]] = {
        "GetUser": (1, lambda: shop.users.GetUser(user_pb2.GetUserRequest(name=user.name))),
        "ListUsers": (1, lambda: shop.users.ListUsers(user_pb2.ListUsersRequest())),
        "CreateUser": (1, shop.user),
        "GetPost": (2, lambda: shop.posts.GetPost(post_pb2.GetPostRequest(name=made.name))),
        "ListPosts": (2, lambda: shop.posts.ListPosts(post_pb2.ListPostsRequest())),
    }
    first = await scrape(shop.app)
    await asyncio.gather(*(call() for _ in range(25) for _, call in calls.values()))
    grown = Growth(first, await scrape(shop.app))
    shared = int(grown.total(STATEMENTS, db_operation_name="OTHER"))
    assert (0 < shared <= 25) if shop.app.database.writer else shared == 0
    for name, (statements, _) in calls.items():
        begins = shared if name == "CreateUser" else 0
        assert grown.total("rpc_db_queries_sum", grpc_method=name) == 25 * statements + begins, name
        below, within = (
            grown.total("rpc_db_queries_bucket", grpc_method=name, le=f"{number:.1f}")
            for number in (statements - 1, statements)
        )
        assert (below, within) == (0, 25 - begins), name
        spent, time = (
            grown.total(metric, grpc_method=name)
            for metric in ("rpc_db_seconds_total", "grpc_server_handling_seconds_sum")
        )
        assert spent == pytest.approx(time, rel=1e-9)
    assert grown.total(STATEMENTS) == 25 * sum(statements for statements, _ in calls.values()) + shared


@pytest.mark.parametrize(("how", "code"), [("cancelled", "Canceled"), ("late", "DeadlineExceeded")])
async def test_an_rpc_that_ends_before_its_statement(gadgets: tuple[App, Any], how: str, code: str) -> None:
    """A statement that outlasts its RPC is timed to its end, and charged to the RPC only while that lasts."""
    app, stub = gadgets
    first = await scrape(app)
    request = gadget_pb2.PokeGadgetRequest(how="slow", seconds=2.5)
    call = stub.PokeGadget(request, timeout=1.0 if how == "late" else 60)
    if how == "cancelled":
        await eventually(lambda: app.tasks.in_progress, 30)
        await asyncio.sleep(0.2)  # until the statement was sent
        call.cancel()
    with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
        await call
    await eventually(lambda: not app.tasks.in_progress, 30)
    grown = Growth(first, await scrape(app))
    assert grown.by("grpc_server_handled_total", "grpc_code", **POKE) == {(code,): 1}
    assert grown.last.total("grpc_server_in_flight") == 0
    assert grown.by(STATEMENTS, "db_operation_name", "error_type") == {("SELECT", ""): 1}
    statement = grown.total("db_client_operation_duration_seconds_sum")
    assert statement >= 2.5
    assert grown.total("rpc_db_queries_count", **POKE) == 1
    assert grown.total("rpc_db_queries_sum", **POKE) == 0
    time = grown.total("grpc_server_handling_seconds_sum", **POKE)
    assert 0 < time < statement
    assert grown.total("rpc_db_seconds_total", **POKE) == pytest.approx(time, rel=1e-9)
    assert 0 < grown.total("rpc_db_seconds_total", phase="query", **POKE) < time


async def test_a_statement_that_the_server_ends(postgres_url: str) -> None:
    """A statement that exceeds statement_timeout is one failed statement of its RPC, with its time."""
    async with (
        serving(settings_for(postgres_url, statement_timeout=1.0)) as app,
        grpc.aio.insecure_channel(app.address) as channel,
    ):
        stub = gadget_pb2_grpc.GadgetServiceStub(channel)
        first = await scrape(app)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.PokeGadget(gadget_pb2.PokeGadgetRequest(how="slow", seconds=60.0), timeout=60)
        grown = Growth(first, await scrape(app))
    assert grown.by(STATEMENTS, "db_operation_name", "error_type") == {("SELECT", "57014"): 1}
    assert grown.by("db_client_errors_total", "phase", "error_type", "disconnect") == {
        ("execute", "57014", "false"): 1
    }
    assert grown.total("rpc_db_queries_sum", **POKE) == 1
    assert grown.total("rpc_db_seconds_total", phase="query", **POKE) == pytest.approx(
        grown.total("db_client_operation_duration_seconds_sum"), rel=1e-9
    )
