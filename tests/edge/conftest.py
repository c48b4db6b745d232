"""Stubs for the edge's tests."""

import grpc
import pytest
from marketplace.v1 import user_pb2_grpc

from tests.gadgets import gadget_pb2_grpc


@pytest.fixture
def users(channel: grpc.aio.Channel) -> "user_pb2_grpc.UserServiceAsyncStub":
    """The stub of UserService."""
    return user_pb2_grpc.UserServiceStub(channel)


@pytest.fixture
def gadgets(channel: grpc.aio.Channel) -> "gadget_pb2_grpc.GadgetServiceStub":
    """The stub of GadgetService."""
    return gadget_pb2_grpc.GadgetServiceStub(channel)
