"""Row policies over the wire: every method, for each principal, on random rows, against an oracle in Python."""

import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from marketplace.v1 import post_pb2

from marketplace_service import SERVICE as MARKETPLACE
from tablestakes.app import App
from tablestakes.crud.query.token import PageTokens
from tablestakes.testing.plugin import DATABASES
from tablestakes.testing.serving import create_database, serving, settings_for
from tests.policy.world import KINDS, PRINCIPALS, Kind, Principal, Row, World, ids_of, make, refused, secured
from tests.status import refusal

SEED = 20260701
# Rows of each resource that are called one by one: all of them in the long run.
SAMPLE = int(os.environ.get("POLICY_ROWS", "12"))
METHODS = {each.name: each.descriptor for each in MARKETPLACE.bind(PageTokens(b""))}

kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.plural)
principals = pytest.mark.parametrize("who", PRINCIPALS, ids=lambda who: who.name)


@dataclass(frozen=True)
class Secured:
    """The marketplace with policies, full of rows.

    Attributes:
        app: It.
        channel: A connection to it.
        world: The rows.
    """

    app: App
    channel: grpc.aio.Channel
    world: World

    async def call(self, who: Principal, method: str, **fields: Any) -> Any:
        """Call a method as somebody."""
        descriptor = METHODS[method]
        request, response = GetMessageClass(descriptor.input_type), GetMessageClass(descriptor.output_type)
        stub = self.channel.unary_unary(
            f"/{descriptor.containing_service.full_name}/{method}", request.SerializeToString, response.FromString
        )
        return await stub(request(**fields), metadata=who.metadata)

    def sample(self, kind: Kind) -> list[Row]:
        """Return some rows of a resource, at random, the same ones each time."""
        rows = kind.rows(self.world)
        return random.Random(SEED).sample(rows, min(SAMPLE, len(rows)))


@pytest.fixture(scope="session", params=DATABASES)
async def secure(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Secured]:
    """The marketplace with policies on each database."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('policy')}/market.db"
    else:
        url = await create_database(request.getfixturevalue("server_of_postgres"))
    service, world = secured(), make(SEED)
    async with serving(service, settings_for(service, url, policy="on")) as app:
        await app.database.transact(world.fill)
        async with grpc.aio.insecure_channel(app.address) as channel:
            yield Secured(app, channel, world)


async def outcome(called: Awaitable[Any]) -> str:
    """Return the name of the code of a call."""
    try:
        await called
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


def differing(expected: dict[Any, str], found: dict[Any, str]) -> dict[Any, tuple[str, str]]:
    """Return what is other than expected."""
    return {key: (expected[key], found[key]) for key in expected if expected[key] != found[key]}


def parent_of(kind: Kind) -> dict[str, str]:
    """Return the wildcard parent of a List."""
    return {"Comment": {"parent": "posts/-"}, "Address": {"parent": "users/-"}}.get(kind.singular, {})


@kinds
@principals
async def test_list_has_the_rows_that_the_caller_sees_and_no_others(
    secure: Secured, kind: Kind, who: Principal
) -> None:
    """A List's pages, and its total, are of the rows that the oracle lets the caller see."""
    if code := refused(who, f"List{kind.plural}"):
        assert await outcome(secure.call(who, f"List{kind.plural}", **parent_of(kind))) == code
        return
    found: list[str] = []
    token = ""
    total: int | None = None
    deleted = {"show_deleted": True} if kind.singular == "Post" else {}
    while True:
        page = await secure.call(
            who,
            f"List{kind.plural}",
            page_size=97,
            page_token=token,
            return_total_size=True,
            **parent_of(kind),
            **deleted,
        )
        found += [each.name for each in getattr(page, kind.table)]
        if page.HasField("total_size"):  # on PostgreSQL it may be an estimate
            total = page.total_size
        if not (token := page.next_page_token):
            break
    expected = kind.seen(secure.world, who)
    assert len(found) == len(expected)
    assert ids_of(found) == expected
    assert total in (None, len(expected))


@kinds
@principals
async def test_get_tells_a_row_that_is_not_seen_from_none_by_nothing(
    secure: Secured, kind: Kind, who: Principal
) -> None:
    """A Get of a row that the caller does not see is answered as one of a row that does not exist."""
    get = partial(secure.call, who, f"Get{kind.singular}")
    rows = {kind.name(row): row for row in secure.sample(kind)}
    code = refused(who, f"Get{kind.singular}")
    expected = {
        name: code or ("OK" if kind.sees(secure.world, who, row) else "NOT_FOUND") for name, row in rows.items()
    }
    found = {name: await outcome(get(name=name)) for name in rows}
    assert not differing(expected, found)


@kinds
@principals
async def test_batch_get_finds_all_that_is_seen_and_nothing_beside_one_that_is_not(
    secure: Secured, kind: Kind, who: Principal
) -> None:
    """A BatchGet of rows that the caller sees is answered; one row that it does not see refuses it."""
    batch = partial(secure.call, who, f"BatchGet{kind.plural}")
    code = refused(who, f"BatchGet{kind.plural}")
    live = [row for row in kind.rows(secure.world) if row.get("delete_time") is None]
    seen = [kind.name(row) for row in live if kind.sees(secure.world, who, row)]
    hidden = [kind.name(row) for row in live if not kind.sees(secure.world, who, row)]
    if seen and code is None:
        answer = await batch(names=seen)
        assert [each.name for each in getattr(answer, kind.table)] == seen
    if hidden:
        assert await outcome(batch(names=[*seen[:3], hidden[0]])) == (code or "NOT_FOUND")


WRITES: dict[str, Callable[[Kind, Row], dict[str, Any]]] = {
    "UpdatePost": lambda kind, row: _changed(kind, row, "title"),
    "UpdateComment": lambda kind, row: _changed(kind, row, "body"),
    "UpdateAddress": lambda kind, row: _changed(kind, row, "city"),
    "DeleteComment": lambda kind, row: {"name": kind.name(row)},
    "DeleteAddress": lambda kind, row: {"name": kind.name(row)},
}


def _changed(kind: Kind, row: Row, field: str) -> dict[str, Any]:
    body = kind.singular.lower()
    return {body: {"name": kind.name(row), field: "changed"}, "update_mask": {"paths": [field]}}


@principals
@pytest.mark.parametrize("method", WRITES)
async def test_a_write_changes_the_rows_that_the_caller_may_write(
    secure: Secured, method: str, who: Principal
) -> None:
    """A write is done where the caller may write, PERMISSION_DENIED where it only sees, and else NOT_FOUND."""
    kind = next(each for each in KINDS if method.endswith(each.singular))
    write = partial(secure.call, who, method)
    rows = [row for row in secure.sample(kind) if row.get("delete_time") is None]
    expected, found = {}, {}
    for row in rows:
        name = kind.name(row)
        expected[name] = refused(who, method) or expected_of(secure.world, kind, who, row)
        found[name] = await outcome(write(**WRITES[method](kind, row), validate_only=True))
    assert not differing(expected, found)


def expected_of(world: World, kind: Kind, who: Principal, row: Row) -> str:
    """Return the code of a write of a row."""
    if not kind.sees(world, who, row):
        return "NOT_FOUND"
    return "OK" if kind.writes(world, who, row) else "PERMISSION_DENIED"


TRANSITIONS = {
    "PublishPost": ("DRAFT",),
    "ArchivePost": ("PUBLISHED",),
    "ShipOrder": ("PAID",),
    "CancelOrder": ("PENDING", "PAID"),
}


@principals
@pytest.mark.parametrize("method", TRANSITIONS)
async def test_a_transition_is_that_of_who_may_write(secure: Secured, method: str, who: Principal) -> None:
    """A change of state is refused as any other write is, before the state is looked at."""
    kind = next(each for each in KINDS if method.endswith(each.singular))
    go = partial(secure.call, who, method)
    expected, found = {}, {}
    for row in secure.sample(kind):
        if row.get("delete_time") is not None:
            continue
        name, code = kind.name(row), refused(who, method) or expected_of(secure.world, kind, who, row)
        fits = row["state"] in TRANSITIONS[method]
        expected[name] = code if code != "OK" or fits else "FAILED_PRECONDITION"
        found[name] = await outcome(go(name=name, validate_only=True))
    assert not differing(expected, found)


@kinds
@principals
async def test_a_filter_finds_nothing_more(secure: Secured, kind: Kind, who: Principal) -> None:
    """A filter whose terms are joined by OR and NOT cannot reach a row that the caller does not see."""
    field = {"Post": "title", "Comment": "body", "Address": "city"}.get(kind.singular)
    if field is None:
        pytest.skip("its List takes a filter on no such text")
    if refused(who, f"List{kind.plural}"):
        return
    page = await secure.call(
        who,
        f"List{kind.plural}",
        page_size=1000,
        filter=f'{field} = "*" OR NOT {field} = "nothing"',
        **parent_of(kind),
    )
    rows = kind.rows(secure.world)
    live = {row["id"] for row in rows if row.get("delete_time") is None}
    assert ids_of(each.name for each in getattr(page, kind.table)) == kind.seen(secure.world, who) & live


def _export(secure: Secured, who: Principal) -> Any:
    stub = secure.channel.unary_stream(
        "/marketplace.v1.PostService/ExportPosts",
        post_pb2.ExportPostsRequest.SerializeToString,
        post_pb2.ExportPostsResponse.FromString,
    )
    return stub(post_pb2.ExportPostsRequest(), metadata=who.metadata)


@principals
async def test_an_export_has_what_a_list_has(secure: Secured, who: Principal) -> None:
    """Export streams the rows that the caller sees, and no others."""
    kind = KINDS[0]
    if code := refused(who, "ExportPosts"):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await anext(aiter(_export(secure, who)))
        assert raised.value.code().name == code
        return
    names = [each.name async for response in _export(secure, who) for each in response.posts]
    live = {row["id"] for row in secure.world.posts if row["delete_time"] is None}
    assert Counter(ids_of(names)) == Counter(kind.seen(secure.world, who) & live)


@principals
async def test_a_wallet_is_there_for_its_owner_alone(secure: Secured, who: Principal) -> None:
    """The wallet and the profile of another user, written to or not, are NOT_FOUND; one's own are there."""
    for method, last in (("GetWallet", "wallet"), ("GetProfile", "profile")):
        get = partial(secure.call, who, method)
        users = range(1, 9)
        code = refused(who, method)
        expected = {number: code or ("OK" if who.admin or who.user == number else "NOT_FOUND") for number in users}
        found = {number: await outcome(get(name=f"users/{number}/{last}")) for number in users}
        assert not differing(expected, found)


@principals
async def test_a_profile_is_made_by_its_owner_alone(secure: Secured, who: Principal) -> None:
    """The first Update of a singleton, which makes its row, is refused for that of another user."""
    update = partial(secure.call, who, "UpdateProfile")
    code = refused(who, "UpdateProfile")
    expected = {
        number: code or ("OK" if who.admin or who.user == number else "NOT_FOUND") for number in range(1, 5)
    }
    found = {
        number: await outcome(update(profile={"name": f"users/{number}/profile", "bio": "x"}, validate_only=True))
        for number in expected
    }
    assert not differing(expected, found)


async def denial(called: Awaitable[Any]) -> tuple[str, str]:
    """Return the code and the reason of a call that is refused."""
    found = refusal(await _error(called))
    return found.code.name, found.info.reason


async def _error(called: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await called
    return raised.value


async def test_who_creates_is_the_author(secure: Secured) -> None:
    """A field with a preset is the caller's own, whether it is sent or not, and nobody else's."""
    user, admin = PRINCIPALS[1], PRINCIPALS[-1]
    create = partial(secure.call, user, "CreatePost")
    made = await create(post={"title": "mine"}, validate_only=True)
    assert made.author == "users/1"
    again = await create(post={"title": "mine", "author": "users/1"}, validate_only=True)
    assert again.author == "users/1"
    other = {"title": "not mine", "author": "users/2"}
    assert await denial(create(post=other, validate_only=True)) == ("PERMISSION_DENIED", "FIELD_NOT_ALLOWED")
    by_admin = await secure.call(admin, "CreatePost", post=other, validate_only=True)
    assert by_admin.author == "users/2"
    stranger = secure.call(PRINCIPALS[3], "CreatePost", post={"title": "x"})
    assert await denial(stranger) == ("PERMISSION_DENIED", "FIELD_NOT_ALLOWED")


async def test_a_row_that_would_not_be_the_callers_is_not_created(secure: Secured) -> None:
    """A new row that no policy of the caller gives is refused, and leaves nothing behind."""
    user, admin = PRINCIPALS[1], PRINCIPALS[-1]
    address = {"lines": "2 Road", "city": "Nowhere", "region_code": "NL"}
    create = partial(secure.call, user, "CreateAddress")
    assert await outcome(create(parent="users/1", address=address, validate_only=True)) == "OK"
    # Another user is not there for this one.
    assert await outcome(create(parent="users/2", address=address)) == "NOT_FOUND"
    batch = [{"parent": f"users/{number}", "address": address} for number in (1, 2)]
    code = await outcome(secure.call(user, "BatchCreateAddresses", parent="users/-", requests=batch))
    assert code == "NOT_FOUND"
    left = await secure.call(admin, "ListAddresses", parent="users/-", filter='city = "Nowhere"', page_size=1000)
    assert not left.addresses


async def test_nothing_is_written_below_what_is_not_seen(secure: Secured) -> None:
    """A comment under a post that the caller does not see is refused as one under none."""
    user = PRINCIPALS[1]
    create = partial(secure.call, user, "CreateComment", comment={"body": "b"}, validate_only=True)
    posts = KINDS[0]
    live = [row for row in secure.world.posts if row["delete_time"] is None][:60]
    expected = {row["id"]: "OK" if posts.sees(secure.world, user, row) else "NOT_FOUND" for row in live}
    found = {number: await outcome(create(parent=f"posts/{number}")) for number in expected}
    assert not differing(expected, found)
    assert set(expected.values()) == {"OK", "NOT_FOUND"}


async def test_transfers_leave_the_callers_own_wallet_only(secure: Secured) -> None:
    """Money goes from one's own wallet to anybody's, and from nobody else's."""
    user, other = PRINCIPALS[1], PRINCIPALS[2]

    def transfer(who: Principal, source: int, destination: int) -> Awaitable[Any]:
        body = {
            "source": f"users/{source}/wallet",
            "destination": f"users/{destination}/wallet",
            "amount_cents": 7,
        }
        return secure.call(who, "CreateTransfer", transfer=body, validate_only=True)

    assert await outcome(transfer(user, 1, 2)) == "OK"
    assert await denial(transfer(other, 1, 2)) == ("PERMISSION_DENIED", "ROW_NOT_ALLOWED")
    assert await outcome(transfer(PRINCIPALS[3], 1, 2)) == "PERMISSION_DENIED"


async def test_orders_take_stock_that_their_customer_may_not_write(secure: Secured) -> None:
    """A function does in the service's right what its caller may not do itself: an order takes stock."""
    user, admin = PRINCIPALS[1], PRINCIPALS[-1]
    body = {"display_name": "Lamp", "category": "light", "price_cents": 5, "stock": 3}
    other = body | {"display_name": "Candle"}
    product = await secure.call(admin, "CreateProduct", product=body)
    assert await outcome(secure.call(user, "CreateProduct", product=other)) == "PERMISSION_DENIED"
    order = await secure.call(user, "CreateOrder", order={"items": [{"product": product.name, "quantity": 2}]})
    try:
        assert order.customer == "users/1"
        assert (await secure.call(user, "GetProduct", name=product.name)).stock == 1
    finally:
        await secure.call(user, "CancelOrder", name=order.name)
        await secure.call(admin, "GetOrder", name=order.name)


async def test_an_order_through_a_reference_does_not_tell_of_what_is_not_seen(secure: Secured) -> None:
    """An order by a field of a resource of which the caller does not see every row is refused; a filter is not."""
    user = PRINCIPALS[1]
    lists = partial(secure.call, user, "ListPosts")
    assert await outcome(lists(order_by="author.username")) == "INVALID_ARGUMENT"
    found = await lists(filter='author.username = "user_2"', page_size=1000)
    assert not found.posts, "the other user is not seen, and so nothing of it can be asked"
