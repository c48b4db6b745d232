"""What the service itself adds to the metrics: the sizes of messages, and the revision of its schema."""

import grpc
import pytest
from marketplace.v1 import user_pb2, user_pb2_grpc

from marketplace_service import SERVICE
from tablestakes.app import App
from tests.telemetry.metrics_scrape import Growth, scrape


async def test_messages_have_their_size_on_the_wire(app: App, channel: grpc.aio.Channel) -> None:
    """The sizes of requests and responses are those of the messages that the client sent and received."""
    users = user_pb2_grpc.UserServiceStub(channel)
    first = await scrape(app)
    request, wrong = user_pb2.ListUsersRequest(page_size=3), user_pb2.ListUsersRequest(page_size=-1)
    response = await users.ListUsers(request)
    with pytest.raises(grpc.aio.AioRpcError):
        await users.ListUsers(wrong)
    growth = Growth(first, await scrape(app))
    received, sent = "grpc_server_msg_received_bytes", "grpc_server_msg_sent_bytes"
    assert growth.total(f"{received}_sum", grpc_method="ListUsers") == request.ByteSize() + wrong.ByteSize()
    assert growth.total(f"{received}_count", grpc_method="ListUsers") == 2
    assert growth.total(f"{sent}_sum", grpc_method="ListUsers") == response.ByteSize()
    assert growth.total(f"{sent}_count", grpc_method="ListUsers") == 1


async def test_the_revision_of_the_schema_is_a_metric(app: App) -> None:
    """An info metric has the revision that the database has."""
    found = (await scrape(app)).by(f"{SERVICE.name}_schema_info", "revision")
    revisions = await SERVICE.schema.revisions(app.database)
    assert found == {(revisions.current,): 1}
    assert revisions.current
