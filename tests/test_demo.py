"""The demo, in a process of its own as an operator runs it, against a real server."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from marketplace.v1 import (
    address_pb2,
    comment_pb2,
    order_pb2,
    order_pb2_grpc,
    post_pb2,
    post_pb2_grpc,
    product_pb2,
    product_pb2_grpc,
    profile_pb2,
    tag_pb2,
    tag_pb2_grpc,
    transfer_pb2,
    user_pb2,
    user_pb2_grpc,
    wallet_pb2,
    wallet_pb2_grpc,
)
from sqlalchemy import func, select

from marketplace_service.demo.client import Client
from marketplace_service.demo.command import run
from marketplace_service.demo.content import TAGS, WITH_PASSWORD, Content
from marketplace_service.demo.options import load
from marketplace_service.models import Base, User
from tablestakes.app import App
from tablestakes.edge.answer import abort
from tablestakes.errors import StatusError
from tests.postgres import free_port
from tests.process import HANGS, called
from tests.serving import eventually, serving, settings_for

USERS = 12
CONCURRENCY = 8
CREATED = {
    "grpc_type": "unary",
    "grpc_service": "marketplace.v1.UserService",
    "grpc_method": "CreateUser",
    "grpc_code": "OK",
}
ROW = re.compile(r"^ *(?P<kind>[a-z]+) +(?P<made>\d+) +(?P<there>\d+) *$", re.MULTILINE)


async def demo(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run the demo to its end, and return its exit code, output and errors."""
    process = await _started(*arguments, **environment)
    try:
        async with asyncio.timeout(HANGS):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def _started(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "server",
        "demo",
        *arguments,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def counted(output: str) -> dict[str, tuple[int, int]]:
    """Return the counts of the table: how many of each kind were made, and how many were there already."""
    return {row["kind"]: (int(row["made"]), int(row["there"])) for row in ROW.finditer(output)}


async def listed(app: App) -> dict[str, list[Any]]:
    """Return every resource that a server lists, by kind."""
    async with grpc.aio.insecure_channel(app.address) as channel:
        users, posts = user_pb2_grpc.UserServiceStub(channel), post_pb2_grpc.PostServiceStub(channel)
        wallets = wallet_pb2_grpc.WalletServiceStub(channel)
        of_users = (await users.ListUsers(user_pb2.ListUsersRequest(page_size=1000))).users
        addresses = [
            (await users.ListAddresses(address_pb2.ListAddressesRequest(parent=user.name))).addresses
            for user in of_users
        ]
        profiles = [
            await users.GetProfile(profile_pb2.GetProfileRequest(name=f"{user.name}/profile")) for user in of_users
        ]
        balances = [
            await wallets.GetWallet(wallet_pb2.GetWalletRequest(name=f"{user.name}/wallet")) for user in of_users
        ]
        tags = tag_pb2_grpc.TagServiceStub(channel).ListTags(tag_pb2.ListTagsRequest(page_size=1000))
        products = product_pb2_grpc.ProductServiceStub(channel).ListProducts(
            product_pb2.ListProductsRequest(page_size=1000)
        )
        full = post_pb2.ListPostsRequest(page_size=1000, view=post_pb2.POST_VIEW_FULL)
        comments = posts.ListComments(comment_pb2.ListCommentsRequest(parent="posts/-", page_size=1000))
        orders = order_pb2_grpc.OrderServiceStub(channel).ListOrders(order_pb2.ListOrdersRequest(page_size=1000))
        transfers = wallets.ListTransfers(transfer_pb2.ListTransfersRequest(page_size=1000))
        return {
            "users": list(of_users),
            "profiles": profiles,
            "addresses": [address for page in addresses for address in page],
            "deposits": balances,
            "tags": list((await tags).tags),
            "products": list((await products).products),
            "posts": list((await posts.ListPosts(full)).posts),
            "comments": list((await comments).comments),
            "orders": list((await orders).orders),
            "transfers": list((await transfers).transfers),
        }


async def rows(app: App) -> dict[str, int]:
    """Return how many rows each table has."""
    async with app.database.engine.connect() as connection:
        return {
            table.name: await connection.scalar(select(func.count()).select_from(table)) or 0
            for table in Base.metadata.sorted_tables
        }


def likeness(everything: Mapping[str, list[Any]]) -> dict[str, list[str]]:
    """Return everything without the parts that differ from server to server: ids, times, etags and order."""
    known = {message.name: message.email for message in everything["users"]}
    known |= {message.name: f"{message.category}/{message.display_name}" for message in everything["products"]}
    known |= {message.name: message.title for message in everything["posts"]}

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if not key.endswith("Time") and key != "etag"}
        if isinstance(value, list):
            return [plain(item) for item in value]
        if isinstance(value, str) and (name := re.match(r"(users|products|posts)/\d+", value)):
            rest = value.removeprefix(name[0])
            return known[name[0]] + re.sub(r"\d+", "", rest)
        return "" if isinstance(value, str) and re.fullmatch(r"(orders|transfers)/\d+", value) else value

    return {
        kind: sorted(repr(plain(MessageToDict(message))) for message in messages)
        for kind, messages in everything.items()
    }


async def test_a_second_run_adds_nothing(empty_url: str) -> None:
    """The table counts the resources that the lists have; a second run finds them there, and adds no row."""
    async with serving(settings_for(empty_url)) as app:
        code, output, errors = await demo(f"--users={USERS}", f"--target={app.address}")
        assert (code, errors) == (0, "")
        everything, before = await listed(app), await rows(app)
        assert counted(output) == {kind: (len(messages), 0) for kind, messages in everything.items()}
        async with app.database.engine.connect() as connection:
            with_password = await connection.scalar(select(func.count()).where(User.password.is_not(None)))
        assert with_password == WITH_PASSWORD

        code, output, errors = await demo(f"--users={USERS}", f"--target={app.address}")
        assert (code, errors) == (0, "")
        assert await rows(app) == before
        again = await listed(app)
    there = {"users": USERS, "products": USERS // 5 + 20, "tags": len(TAGS)}
    assert counted(output) == {kind: (0, there.get(kind, 0)) for kind in everything}
    assert likeness(again) == likeness(everything)
    assert {"calls", "second"} <= set(output.split())


@pytest.mark.parametrize("empty_url", ["postgresql"], indirect=True)
async def test_the_same_seed_gives_the_same(empty_url: str, tmp_path: Path) -> None:
    """A seed gives the same on another server and with calls in another order, and another seed something else."""
    likenesses = []
    for url, seed, concurrency in (
        (empty_url, 5, 16),
        (f"sqlite+aiosqlite:///{tmp_path}/second.db", 5, 1),
        (f"sqlite+aiosqlite:///{tmp_path}/third.db", 6, 16),
    ):
        async with serving(settings_for(url)) as app:
            # In this process: the others show what a process of its own does.
            await run(load(target=app.address, users=USERS, seed=seed, concurrency=concurrency))
            likenesses.append(likeness(await listed(app)))
    first, second, third = likenesses
    assert first == second
    for kind in set(first) - {"tags"}:
        assert first[kind], f"{kind}: nothing to compare"
        assert first[kind] != third[kind]


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
async def test_resources_of_others_are_left_alone(empty_url: str) -> None:
    """A user, a product and a tag of somebody else stay as they are, and nothing is added to them."""
    content = Content(1)
    user, product = content.person(0, ()).user, content.products(20)[3]
    user.full_name, product.stock, product.price_cents = "Somebody Else", 1, 1
    async with serving(settings_for(empty_url)) as app:
        async with grpc.aio.insecure_channel(app.address) as channel:
            await user_pb2_grpc.UserServiceStub(channel).CreateUser(user_pb2.CreateUserRequest(user=user))
            await product_pb2_grpc.ProductServiceStub(channel).CreateProduct(
                product_pb2.CreateProductRequest(product=product)
            )
            tag = tag_pb2.Tag(display_name="Somebody Else's")
            await tag_pb2_grpc.TagServiceStub(channel).CreateTag(tag_pb2.CreateTagRequest(tag=tag, tag_id=TAGS[0]))
        before = await listed(app)
        code, output, _ = await demo(f"--users={USERS}", f"--target={app.address}")
        after = await listed(app)
    assert code == 0
    counts = counted(output)
    assert counts["users"] == (USERS - 1, 1)
    assert counts["products"] == (USERS // 5 + 19, 1)
    assert counts["tags"] == (len(TAGS) - 1, 1)
    for kind in ("users", "profiles", "deposits", "products", "tags"):
        assert all(message in after[kind] for message in before[kind]), kind
    name = before["users"][0].name
    for kind in ("addresses", "posts", "comments", "orders", "transfers"):
        assert not [message for message in after[kind] if re.search(rf"{name}\b", repr(message))], kind


@pytest.mark.parametrize(("reason", "tried"), [("DATABASE_BUSY", 3), ("DATABASE_UNAVAILABLE", 1)])
async def test_a_call_that_was_not_begun_is_sent_again(
    monkeypatch: pytest.MonkeyPatch, reason: str, tried: int
) -> None:
    """A call that the server says it did not begin is made again, and one that may have been done is not."""
    monkeypatch.setattr("marketplace_service.demo.client.PAUSE_SECONDS", 0.01)
    requests = []

    async def create(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        requests.append(request)
        if len(requests) < 3:
            await abort(context, StatusError(grpc.StatusCode.UNAVAILABLE, reason, "Not now."), "example.com")
        return b""

    server = grpc.aio.server()
    handlers: dict[str, Any] = {"CreateTag": grpc.unary_unary_rpc_method_handler(create)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("marketplace.v1.TagService", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        client = Client(channel)
        made = client.make(client.tags.CreateTag, tag_pb2.CreateTagRequest(tag_id="tea"), "tags")
        if tried == 1:
            with pytest.raises(grpc.aio.AioRpcError):
                await made
        else:
            assert await made == tag_pb2.Tag()
    await server.stop(None)
    assert len(requests) == tried
    assert len(set(requests)) == 1
    assert client.made["tags"] == (tried == 3)


@pytest.mark.parametrize("empty_url", ["postgresql"], indirect=True)
async def test_ctrl_c_ends_it_in_one_line(empty_url: str) -> None:
    """SIGINT ends it at once with what was made, one line and the code that shells give to it."""
    async with serving(settings_for(empty_url)) as app:
        handled = app.registry.get_sample_value
        process = await _started("--users=500", f"--concurrency={CONCURRENCY}", f"--target={app.address}")
        try:
            await eventually(lambda: (handled("grpc_server_handled_total", CREATED) or 0) > CONCURRENCY, HANGS)
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(HANGS):
                output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        made = await listed(app)
    assert process.returncode == 130
    assert errors == b"tablestakes: interrupted\n"
    # A call that was under way when it ended may have made a user that is not counted.
    made_by_it = counted(output.decode())["users"][0]
    assert 0 < made_by_it <= len(made["users"]) <= made_by_it + CONCURRENCY


async def test_without_a_server_it_says_so_in_one_line() -> None:
    """A target where nothing listens is said in one line, with exit code 1."""
    target = f"127.0.0.1:{free_port()}"
    code, output, errors = await demo(f"--target={target}")
    assert (code, output) == (1, "")
    assert errors.startswith(f"tablestakes: {target} cannot be reached: ")
    assert len(errors.splitlines()) == 1


async def test_without_its_extra_it_says_how_to_install_it(tmp_path: Path) -> None:
    """Where Faker is missing, one line says what to install."""
    (tmp_path / "faker.py").write_text("raise ModuleNotFoundError(name='faker')\n")
    code, output, errors = await demo(PYTHONPATH=str(tmp_path))
    assert (code, output) == (1, "")
    assert errors == "tablestakes: faker is missing: pip install 'tablestakes[demo]'\n"


@pytest.mark.parametrize(
    "bad", ["--users=0", "--users=many", "--target=nowhere", "--seed=-1", "--seed=x", "--concurrency=101"]
)
def test_a_bad_option_is_one_line_and_exit_code_2(bad: str) -> None:
    """A bad value is named with its flag, in one line, and no server is called."""
    code, output, errors = called("demo", bad)
    assert (code, output) == (2, "")
    assert errors.startswith(f"tablestakes: {bad.partition('=')[0]}: ")
    assert len(errors.splitlines()) == 1


def test_a_setting_of_the_server_is_none_of_its_options() -> None:
    """The demo knows no database: a setting of the server is refused, as a misspelt flag is."""
    code, _, errors = called("demo", "--database-url=sqlite:///x.db")
    assert code == 2
    assert "unrecognized arguments" in errors
