"""Passwords in the table of users, on every database."""

from typing import Any

import grpc
import pytest
from argon2 import PasswordHasher

from tablestakes.app import App
from tablestakes.testing.contract.behavior import kept_in
from tablestakes.testing.resource import Contract
from tablestakes.testing.served import Served
from tests.contract.marketplace import SERVICE

TESTED_SERVICE = SERVICE


@pytest.fixture
def users(channel: grpc.aio.Channel) -> Contract:
    """The contract of users."""
    served = Served(SERVICE)
    return Contract(served, served.by_name["User"], channel)


async def test_a_password_is_kept_as_its_hash(users: Contract, app: App) -> None:
    """The table has an argon2id hash of a password, with a salt of its own, made again by each Update."""
    kept = []
    for _ in range(2):
        sent: Any = await users.sample()
        sent.password = "one and the same password"
        created = await users.create(sent)
        kept.append(await kept_in(users, app, created.name, "password"))
    await users.update(type(sent)(name=created.name, password=sent.password), "password")
    kept.append(await kept_in(users, app, created.name, "password"))
    assert len(set(kept)) == 3
    for value in kept:
        assert value.startswith("$argon2id$")
        assert PasswordHasher().verify(value, sent.password)


async def test_a_password_that_is_cleared_is_none(users: Contract, app: App) -> None:
    """A password that is left out is NULL, by Create and by an Update whose mask names it."""
    plain = await users.create(plain=True)
    assert await kept_in(users, app, plain.name, "password") is None
    created = await users.create()
    await users.update(type(created)(name=created.name), "password")
    assert await kept_in(users, app, created.name, "password") is None
