"""The access log has a structured line for each RPC, at a level and for a share of one's choice, or none."""

import random
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from marketplace.v1 import user_pb2, user_pb2_grpc
from structlog.testing import capture_logs

from marketplace_service import SERVICE
from tablestakes.app import start
from tablestakes.crud.call import Caller
from tablestakes.edge.access_log import AccessLog
from tablestakes.settings import SettingsError

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
METADATA = (("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01"), ("x-request-id", "r" * 300))


def write(log: AccessLog, code: str = "OK", **options: Any) -> list[Any]:
    """Return the lines of an RPC that a gate found the caller of."""
    arrival: Any = SimpleNamespace(metadata={}, peer="ipv4:127.0.0.1:1", caller=Caller("alice"))
    method: Any = SimpleNamespace(path="/shop.v1.Shop/Buy")
    with capture_logs() as logs:
        log.write(method, arrival, code, 0.25, **options)
    return list(logs)


async def calls(*metadata: tuple[str, str], **given: Any) -> list[Any]:
    """Serve with settings, call one RPC that is answered and one that fails, and return their lines."""
    local = {
        "listen": "127.0.0.1:0",
        "metrics_listen": "127.0.0.1:0",
        "database_url": "sqlite+aiosqlite:///:memory:",
    }
    with capture_logs() as logs:
        app = await start(SERVICE, SERVICE.settings.load(**local, **given))
        async with grpc.aio.insecure_channel(app.address) as channel:
            users = user_pb2_grpc.UserServiceStub(channel)
            await users.ListUsers(user_pb2.ListUsersRequest(page_size=1), metadata=metadata)
            with pytest.raises(grpc.aio.AioRpcError):
                await users.GetUser(user_pb2.GetUserRequest(name="users/00000000000000000000000000"))
        await app.drain()
    return [line for line in logs if line["event"] == "rpc"]


async def test_each_rpc_has_a_line() -> None:
    """A line has the method, code, time, caller, sizes, request id and trace of its RPC, at the level asked for."""
    first, second = await calls(*METADATA, access_log="warning")
    assert first["rpc"] == "/marketplace.v1.UserService/ListUsers"
    assert (first["code"], first["log_level"], first["trace_id"]) == ("OK", "warning", TRACE)
    assert first["request_id"] == "r" * 200, "what a caller sends is cut"
    assert first["peer"].startswith("ipv4:127.0.0.1:")
    assert first["user_agent"].startswith("grpc-python-asyncio/")
    assert 0 < first["seconds"] < 60
    assert first["received"] == 2
    assert second["code"] in ("NotFound", "InvalidArgument")
    assert second["reason"].isupper()
    assert not {"sent", "trace_id", "request_id", "caller"} & second.keys()


@pytest.mark.parametrize("given", [{}, {"access_log": "debug"}, {"access_log": "off", "log_level": "debug"}])
async def test_it_is_off_unless_asked_for(given: dict[str, str]) -> None:
    """Without the setting, or at a level that is not logged, there is no line."""
    assert await calls(**given) == []


async def test_only_failures_are_left_of_a_sample_of_none() -> None:
    """A sample of 0 has the RPCs that failed alone."""
    [line] = await calls(access_log="info", access_log_sample="0")
    assert line["code"] != "OK"


def test_a_share_is_sampled() -> None:
    """Of many RPCs answered OK about the share has lines, and of those that failed each."""
    log = AccessLog("info", 0.25, random.Random(7))
    assert 200 <= sum(len(write(log)) for _ in range(1000)) <= 300
    assert sum(len(write(log, "Internal")) for _ in range(100)) == 100


def test_the_caller_and_the_request_id_of_the_request() -> None:
    """The caller that a gate found, and the request's own id, are in the line."""
    [line] = write(AccessLog("info"), request=SimpleNamespace(request_id="7f"), sent=3)
    assert (line["caller"], line["request_id"], line["sent"], line["seconds"]) == ("alice", "7f", 3, 0.25)


@pytest.mark.parametrize("sample", ["-0.1", "1.1", "nan", "half"])
def test_a_share_is_between_none_and_all(sample: str) -> None:
    """Any other sample is refused by its name."""
    with pytest.raises(SettingsError, match="--access-log-sample"):
        SERVICE.settings.load(access_log_sample=sample)
