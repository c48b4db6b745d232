"""The generated clients: calls, pages and errors against the service, and repetitions against a scripted server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from marketplace.v1 import user_pb2, wallet_pb2
from marketplace.v1.clients import SERVICES, AsyncMarketplaceClient, MarketplaceClient

from tablestakes import StatusError
from tablestakes.app import App
from tablestakes.client import ApiError, service_config
from tablestakes.client.generate import clients
from tablestakes.edge.answer import DETAILS_KEY, status

GENERATED = Path(__file__).resolve().parents[2] / "generated" / "marketplace" / "v1"


def new_user() -> user_pb2.User:
    """Return a user whom no other test has."""
    name = f"u{uuid4().hex[:20]}"
    return user_pb2.User(email=f"{name}@example.com", username=name)


async def test_a_client_awaits_answers_pages_and_errors(app: App) -> None:
    """The asynchronous client returns responses, goes through every page of a list, and raises with the details."""
    async with AsyncMarketplaceClient(app.address) as client:
        made = [await client.create_user(user=new_user()) for _ in range(5)]
        assert await client.get_user(name=made[0].name) == made[0]
        listed = [user.name async for user in client.list_users(page_size=2)]
        assert {user.name for user in made} <= set(listed)
        assert len(listed) == len(set(listed))
        with pytest.raises(ApiError) as caught:
            await client.create_user(user=user_pb2.User(email=made[0].email, username=new_user().username))
        assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS")
        assert [violation.field for violation in caught.value.violations] == ["user.email"]
        await client.delete_user(name=made[0].name)


async def test_a_client_waits_for_answers_pages_and_errors(app: App) -> None:
    """The synchronous client does the same without asyncio."""

    def use() -> None:
        with MarketplaceClient(app.address) as client:
            made = [client.create_user(user=new_user()) for _ in range(3)]
            listed = [user.name for user in client.list_users(page_size=2)]
            assert {user.name for user in made} <= set(listed)
            with pytest.raises(ApiError) as caught:
                client.get_user(name="users/987654321")
            assert (caught.value.reason, caught.value.metadata["resource"]) == (
                "RESOURCE_NOT_FOUND",
                "users/987654321",
            )

    await asyncio.to_thread(use)


@dataclass
class Scripted:
    """A server that answers each call by the next of its statuses, and keeps what it was sent."""

    statuses: list[StatusError | None]
    address: str = ""
    requests: list[bytes] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    async def handle(self, request: bytes, context: Any) -> bytes:
        """Answer a call."""
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.seconds.append(context.time_remaining())
        if (error := self.statuses.pop(0)) is not None:
            details = status(error, "example.com").SerializeToString()
            await context.abort(error.code, error.message, ((DETAILS_KEY, details),))
        return b""


class Handlers(grpc.GenericRpcHandler):
    """Every method of a scripted server."""

    def __init__(self, script: Scripted) -> None:
        self._handler: Any = grpc.unary_unary_rpc_method_handler(script.handle)

    def service(self, _: grpc.HandlerCallDetails) -> Any:
        """Return the handler of any method."""
        return self._handler


@asynccontextmanager
async def scripted(*statuses: StatusError | None) -> AsyncIterator[Scripted]:
    """Run a scripted server."""
    script = Scripted(list(statuses))
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handlers(script),))
    script.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield script
    finally:
        await server.stop(None)


UNAVAILABLE = StatusError(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", "Gone.", retry_delay=0.01)
IN_PROGRESS = StatusError(grpc.StatusCode.ABORTED, "REQUEST_IN_PROGRESS", "Under way.", retry_delay=0.01)
STALE = StatusError(grpc.StatusCode.ABORTED, "STALE", "Read it again.")


@pytest.mark.parametrize("trouble", [UNAVAILABLE, IN_PROGRESS], ids=["the channel", "the client"])
async def test_a_write_is_repeated_with_its_request_id(trouble: StatusError) -> None:
    """A write that may be made again is sent as it was: with its id, its first time, and within its deadline."""
    async with scripted(trouble, None) as server, AsyncMarketplaceClient(server.address) as client:
        await client.create_user(user=new_user(), seconds=7)
    first, second = server.requests
    assert first == second
    assert UUID(user_pb2.CreateUserRequest.FromString(first).request_id).version == 4
    assert server.metadata[0]["first_sent"] == server.metadata[1]["first_sent"]
    assert all(0 < seconds < 8 for seconds in server.seconds)


async def test_a_write_is_repeated_synchronously() -> None:
    """The synchronous client repeats it alike."""
    async with scripted(IN_PROGRESS, UNAVAILABLE, None) as server:

        def use() -> None:
            with MarketplaceClient(server.address) as client:
                client.deposit_money(name="users/1/wallet", amount_cents=1)

        await asyncio.to_thread(use)
    assert len(server.requests) == 3
    assert len({wallet_pb2.DepositMoneyRequest.FromString(each).request_id for each in server.requests}) == 1


async def test_what_is_not_safe_to_repeat_is_not_repeated() -> None:
    """A write without an id, and one whose status does not say when to repeat it, are sent once."""
    async with scripted(STALE, UNAVAILABLE) as server, AsyncMarketplaceClient(server.address) as client:
        with pytest.raises(ApiError, match="STALE"):
            await client.create_user(user=new_user())
        assert len(server.requests) == 1
        # A message without the field, at a method that the config does not name.
        with pytest.raises(ApiError, match="UNAVAILABLE"):
            await client.call("/other.v1.Service/Write", user_pb2.User(), user_pb2.User)
        assert len(server.requests) == 2


async def test_an_unreachable_server_is_unavailable() -> None:
    """Without a server the error is UNAVAILABLE, within the deadline, and has no reason of a service."""
    async with AsyncMarketplaceClient("127.0.0.1:1", seconds=5) as client:
        with pytest.raises(ApiError) as caught:
            await client.get_user(name="users/1")
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNAVAILABLE, "")


@pytest.mark.parametrize("request_ids", [False, True])
def test_the_published_config_repeats_what_is_safe(request_ids: bool) -> None:
    """The published service configs name every read, and the other one every write that has a request_id too."""
    name = "service_config_with_request_ids.json" if request_ids else "service_config.json"
    published = json.loads((GENERATED / name).read_text())
    assert published == json.loads(service_config(SERVICES, request_ids=request_ids))
    (entry,) = published["methodConfig"]
    named = {f"{each['service']}/{each['method']}" for each in entry["name"]}
    every = {f"{service.full_name}/{method.name}" for service in SERVICES for method in service.methods}
    reads = ("Get", "List", "BatchGet", "Export")
    read = {each for each in every if each.rpartition("/")[2].startswith(reads)}
    assert named == (every if request_ids else read)
    assert entry["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert published["retryThrottling"] == {"maxTokens": 10, "tokenRatio": 0.1}


def test_methods_of_one_name_are_refused() -> None:
    """A package whose services share a method's name cannot have one client."""
    with pytest.raises(ValueError, match="GetUser"):
        clients("marketplace.v1", [*SERVICES, *SERVICES])
