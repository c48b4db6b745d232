"""Field policies over the wire: a field that a caller is not told, and one that it may not set."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest

from marketplace_service import SERVICE
from tablestakes import AUTHENTICATED, DeclarationError, FieldPolicy, RowPolicy
from tablestakes.crud.query.token import PageTokens
from tablestakes.service import Service
from tablestakes.testing.serving import serving, settings_for
from tests.policy.test_rows import Secured, denial, outcome
from tests.policy.world import PRINCIPALS, make, secured

USER, ADMIN = PRINCIPALS[1], PRINCIPALS[-1]
HIDDEN = FieldPolicy(field="email", readers=frozenset({"admin"}))
FIXED = FieldPolicy(field="full_name", writers=frozenset({"admin"}))


def with_fields(*fields: FieldPolicy) -> Service:
    """Return the marketplace in which every user sees all users, but not all of their fields."""
    rows = (RowPolicy(to=AUTHENTICATED, read="*", write="*"),)
    resources = [
        replace(each, rows=rows, fields=fields) if each.descriptor.name == "User" else each
        for each in SERVICE.resources
    ]
    return secured(replace(SERVICE, resources=resources))


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Secured]:
    """Serve it, with few rows."""
    service, world = with_fields(HIDDEN, FIXED), make(3, rows=5)
    url = f"sqlite+aiosqlite:///{folder}/market.db"
    async with serving(service, settings_for(service, url, policy="on")) as app:
        await app.database.transact(world.fill)
        async with grpc.aio.insecure_channel(app.address) as channel:
            yield Secured(app, channel, world)


@pytest.fixture(scope="module")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    """The marketplace with a hidden field and a fixed one."""
    async with opened(tmp_path_factory.mktemp("fields")) as running:
        yield running


async def test_a_hidden_field_is_in_no_answer(market: Secured) -> None:
    """A field that the caller is not told is empty in the answer of every method, and the rest is there."""
    get = await market.call(USER, "GetUser", name="users/2")
    assert (get.username, get.email) == ("user_2", "")
    assert (await market.call(ADMIN, "GetUser", name="users/2")).email == "u2@example.com"
    masked = await market.call(USER, "GetUser", name="users/2", read_mask={"paths": ["email", "username"]})
    assert (masked.username, masked.email) == ("user_2", "")
    listed = await market.call(USER, "ListUsers", page_size=50)
    assert len(listed.users) == 8
    batch = await market.call(USER, "BatchGetUsers", names=["users/1", "users/3"])
    changed = await market.call(
        USER, "UpdateUser", user={"name": "users/1", "username": "other"}, update_mask={"paths": ["username"]}
    )
    assert not any(each.email for each in (*listed.users, *batch.users, changed))


async def test_an_answer_that_is_given_again_hides_the_field_too(market: Secured) -> None:
    """A repeated call is given the answer of its own caller, which was kept without the field."""
    change: dict[str, Any] = {
        "user": {"name": "users/3", "username": "third"},
        "update_mask": {"paths": ["username"]},
        "request_id": str(uuid4()),
    }
    first = await market.call(USER, "UpdateUser", **change)
    again = await market.call(USER, "UpdateUser", **change)
    assert (again.username, again.email) == (first.username, "") == ("third", "")


@pytest.mark.parametrize(
    ("method", "asked"),
    [
        ("ListUsers", {"filter": 'email = "u2@example.com"'}),
        ("ListUsers", {"filter": 'NOT (username = "x" OR email = "u2*")'}),
        ("ListUsers", {"order_by": "email"}),
        ("ListPosts", {"filter": 'author.email = "u2@example.com"'}),
        ("ListPosts", {"order_by": "author.email desc"}),
    ],
)
async def test_a_hidden_field_cannot_be_asked_for(market: Secured, method: str, asked: dict[str, str]) -> None:
    """Neither a filter nor an order has a field that the caller is not told, not through a reference either."""
    assert await denial(market.call(USER, method, **asked)) == ("PERMISSION_DENIED", "FIELD_NOT_ALLOWED")
    assert await outcome(market.call(ADMIN, method, **asked)) == "OK"


@pytest.mark.parametrize("field", ["email", "full_name"])
async def test_a_field_is_set_by_who_may_only(market: Secured, field: str) -> None:
    """An Update of a field that the caller may not set is refused, and names it; also as one item of a batch."""
    value = {"email": "new@example.com", "full_name": "New Name"}[field]
    change = {"user": {"name": "users/4", field: value}, "update_mask": {"paths": [field]}}
    update = partial(market.call, USER, "UpdateUser")
    assert await denial(update(**change)) == ("PERMISSION_DENIED", "FIELD_NOT_ALLOWED")
    assert await denial(update(user=change["user"])) == ("PERMISSION_DENIED", "FIELD_NOT_ALLOWED")
    other = {"user": {"name": "users/5", "username": "fifth"}, "update_mask": {"paths": ["username"]}}
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await market.call(USER, "BatchUpdateUsers", requests=[other, change])
    assert f"requests[1].user.{field}" in str(raised.value.details())
    assert await outcome(market.call(ADMIN, "UpdateUser", **change, validate_only=True)) == "OK"
    kept = await market.call(ADMIN, "GetUser", name="users/5")
    assert kept.username == "user_5"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ((FieldPolicy(field="emial"),), "did you mean email"),
        ((FieldPolicy(field="email", preset="users/1"),), "is no $caller.<attribute>"),
        ((FieldPolicy(field="active", preset="$caller.user"),), "is no text"),
    ],
)
def test_a_field_policy_that_cannot_be_is_refused_at_start(fields: tuple[FieldPolicy, ...], said: str) -> None:
    """A policy of a field that there is not, or with a preset that is none, stops the service from starting."""
    service = with_fields(*fields)
    with pytest.raises(DeclarationError, match="User") as raised:
        service.policies(service.bind(PageTokens(b"")))
    assert said in str(raised.value).lower().replace("emial", "") or said in str(raised.value)
