"""The setting that refuses filters which no index serves, on a server."""

from pathlib import Path

import grpc
import pytest
from marketplace.v1 import post_pb2, post_pb2_grpc

from tablestakes.testing.status import refusal
from tests.serving import serving, settings_for


async def test_filters_that_no_index_serves_can_be_refused(tmp_path: Path) -> None:
    """With filter_unindexed off, a filter on a field without an index is refused, and one on an indexed is not."""
    settings = settings_for(f"sqlite+aiosqlite:///{tmp_path}/test.db", filter_unindexed=False)
    async with serving(settings) as app, grpc.aio.insecure_channel(app.address) as channel:
        posts = post_pb2_grpc.PostServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await posts.ListPosts(post_pb2.ListPostsRequest(filter="title = x"))
        answer = refusal(caught.value)
        assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
        assert answer.fields["filter"].startswith("is wrong at character 1: title has no index")
        found = await posts.ListPosts(post_pb2.ListPostsRequest(filter="author.username = ann"))
        assert found == post_pb2.ListPostsResponse()
