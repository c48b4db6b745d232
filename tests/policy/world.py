"""A marketplace full of random rows, and who may see and write each: decided in Python, row by row."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, text

from marketplace_service import SERVICE
from marketplace_service.models import Address, Comment, Order, Post, Transfer, User, Wallet
from tablestakes import Arrival, Caller, Method
from tablestakes.service import Service

ROWS = 500
USERS = 8
STATES = ("DRAFT", "PUBLISHED", "ARCHIVED")
HEADER = "x-principal"
THEN = datetime(2026, 1, 1, tzinfo=UTC)

Row = dict[str, Any]


@dataclass(frozen=True)
class Principal:
    """Somebody who calls.

    Attributes:
        name: A name of it, for the ids of tests.
        caller: Who it is to the service.
        user: The id of its user, None where it has none.
        admin: Whether it is one.
    """

    name: str
    caller: Caller
    user: int | None = None
    admin: bool = False

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata by which the service knows it."""
        return ((HEADER, self.name),)


def _user(number: int) -> Principal:
    caller = Caller(f"person-{number}", attributes={"user": f"users/{number}"})
    return Principal(f"user{number}", caller, number)


PRINCIPALS: Sequence[Principal] = (
    Principal("anonymous", Caller()),
    _user(1),
    _user(2),
    Principal("stranger", Caller("stranger")),
    Principal("garbled", Caller("garbled", attributes={"user": "users/0x7'; --"})),
    Principal("admin", Caller("root", roles=frozenset({"admin"})), admin=True),
)
BY_NAME = {each.name: each for each in PRINCIPALS}


def authenticate(arrival: Arrival, _: Method) -> None:
    """Let a principal be who its metadata says: a gate for tests."""
    name = arrival.metadata.get(HEADER, "anonymous")
    arrival.caller = BY_NAME[str(name)].caller


def secured(service: Service = SERVICE) -> Service:
    """Return the marketplace with that gate."""
    return replace(service, gates=lambda _: (authenticate,))


@dataclass(frozen=True)
class World:
    """The rows of a marketplace, by table.

    Attributes:
        posts: The posts, some of them deleted.
        comments: The comments.
        orders: The orders.
        addresses: The addresses.
        transfers: The transfers.
        wallets: The wallets that have a row.
    """

    posts: list[Row] = field(default_factory=list)
    comments: list[Row] = field(default_factory=list)
    orders: list[Row] = field(default_factory=list)
    addresses: list[Row] = field(default_factory=list)
    transfers: list[Row] = field(default_factory=list)
    wallets: list[Row] = field(default_factory=list)

    def post(self, number: int) -> Row:
        """Return a post by its id."""
        return self.posts[number - 1]

    def fill(self, connection: Connection) -> None:
        """Insert every row."""
        users = [
            {"id": number, "email": f"u{number}@example.com", "username": f"user_{number}", **_TIMES}
            for number in range(1, USERS + 1)
        ]
        connection.execute(insert(User), users)
        for model, rows in (
            (Wallet, self.wallets),
            (Post, self.posts),
            (Comment, self.comments),
            (Order, self.orders),
            (Address, self.addresses),
            (Transfer, self.transfers),
        ):
            connection.execute(insert(model), [{**each, **_TIMES} for each in rows])
            table = model.__tablename__
            if connection.dialect.name == "postgresql" and model is not Wallet:
                # The next id is after those that were given here.
                connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {len(rows)})"))


_TIMES = {"create_time": THEN, "update_time": THEN}


def make(seed: int, rows: int = ROWS) -> World:
    """Return a random world.

    Args:
        seed: The seed of its randomness.
        rows: How many rows each table has.
    """
    pick = random.Random(seed)

    def user() -> int:
        return pick.randint(1, USERS)

    def post(number: int) -> Row:
        deleted = pick.random() < 0.2
        times = {"delete_time": THEN, "expire_time": THEN + timedelta(days=30_000)} if deleted else {}
        empty = {"delete_time": None, "expire_time": None}
        state, author = pick.choice(STATES), user()
        return {"id": number, "author_id": author, "title": f"t{number}", "state": state, **empty, **times}

    def transfer(number: int) -> Row:
        source = user()
        destination = pick.choice([each for each in range(1, USERS + 1) if each != source])
        return {"id": number, "source_id": source, "destination_id": destination, "amount_cents": 1}

    numbers = range(1, rows + 1)
    orders = ("PENDING", "PAID", "SHIPPED", "CANCELLED")
    address = {"lines": "1 Road", "city": "Town", "region_code": "NL"}
    return World(
        posts=[post(number) for number in numbers],
        comments=[
            {"id": number, "post_id": pick.randint(1, rows), "author_id": user(), "body": "b"} for number in numbers
        ],
        orders=[
            {"id": number, "customer_id": user(), "total_cents": 5, "state": pick.choice(orders)}
            for number in numbers
        ],
        addresses=[{"id": number, "user_id": user(), **address} for number in numbers],
        transfers=[transfer(number) for number in numbers],
        wallets=[{"user_id": number, "balance_cents": 100} for number in range(1, USERS + 1)],
    )


Judge = Callable[[World, Principal, Row], bool]


@dataclass(frozen=True)
class Kind:
    """A resource, and the oracle of who may use each row of it.

    Attributes:
        table: The name of its table.
        singular: The name of its message.
        plural: The plural of it.
        sees: Whether somebody sees a row.
        writes: Whether somebody may write one.
        name: The name of a row's resource.
    """

    table: str
    singular: str
    plural: str
    sees: Judge
    writes: Judge
    name: Callable[[Row], str]

    def rows(self, world: World) -> list[Row]:
        """Return its rows."""
        found: list[Row] = getattr(world, self.table)
        return found

    def seen(self, world: World, who: Principal) -> set[int]:
        """Return the ids of the rows that somebody sees."""
        return {each["id"] for each in self.rows(world) if self.sees(world, who, each)}

    def written(self, world: World, who: Principal) -> set[int]:
        """Return the ids of the rows that somebody sees and may write."""
        return {
            each["id"] for each in self.rows(world) if self.sees(world, who, each) and self.writes(world, who, each)
        }


def _is_public(post: Row) -> bool:
    return bool(post["state"] == "PUBLISHED" and post["delete_time"] is None)


def _own(column: str) -> Judge:
    return lambda _, who, row: who.admin or (who.user is not None and row[column] == who.user)


def _sees_post(_: World, who: Principal, row: Row) -> bool:
    return who.admin or _is_public(row) or (who.user is not None and row["author_id"] == who.user)


def _sees_comment(world: World, who: Principal, row: Row) -> bool:
    post = world.post(row["post_id"])
    mine = who.user is not None and who.user in (row["author_id"], post["author_id"])
    return who.admin or mine or _is_public(post)


def _sees_transfer(_: World, who: Principal, row: Row) -> bool:
    return who.admin or (who.user is not None and who.user in (row["source_id"], row["destination_id"]))


KINDS: Sequence[Kind] = (
    Kind("posts", "Post", "Posts", _sees_post, _own("author_id"), lambda row: f"posts/{row['id']}"),
    Kind(
        "comments",
        "Comment",
        "Comments",
        _sees_comment,
        _own("author_id"),
        lambda row: f"posts/{row['post_id']}/comments/{row['id']}",
    ),
    Kind("orders", "Order", "Orders", _own("customer_id"), _own("customer_id"), lambda row: f"orders/{row['id']}"),
    Kind(
        "addresses",
        "Address",
        "Addresses",
        _own("user_id"),
        _own("user_id"),
        lambda row: f"users/{row['user_id']}/addresses/{row['id']}",
    ),
    Kind(
        "transfers",
        "Transfer",
        "Transfers",
        _sees_transfer,
        _own("source_id"),
        lambda row: f"transfers/{row['id']}",
    ),
)


def ids_of(names: Iterable[str]) -> set[int]:
    """Return the ids at the end of names."""
    return {int(name.rpartition("/")[2]) for name in names}


PUBLIC = {
    *(f"{verb}{name}" for verb in ("Get",) for name in ("Post", "Comment", "Tag", "Product")),
    *(f"{verb}{name}" for verb in ("BatchGet", "List") for name in ("Posts", "Comments", "Tags", "Products")),
}
ADMINS = {
    *(f"{verb}{name}" for verb in ("Create", "Update", "Delete") for name in ("Tag", "Product")),
    *(f"Batch{verb}{name}" for verb in ("Create", "Update", "Delete") for name in ("Tags", "Products")),
    *("ExportPosts", "ExportProducts", "PurgePosts", "PurgeUsers", "ShipOrder", "DepositMoney"),
    *("CreateUser", "BatchCreateUsers", "DeleteUser", "BatchDeleteUsers", "UndeleteUser"),
}


def refused(who: Principal, method: str) -> str | None:
    """Return the code with which a method is refused to somebody, whatever is asked of it; None where it is not."""
    if method in PUBLIC:
        return None
    if who.caller.subject is None:
        return "UNAUTHENTICATED"
    return "PERMISSION_DENIED" if method in ADMINS and not who.admin else None
