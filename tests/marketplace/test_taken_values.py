"""Values that other resources have: all of them are named at once, and alike on every database."""

from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from marketplace.v1 import product_pb2, user_pb2

from tests.marketplace.client import Market, refused

BOTH = ["user.email", "user.username"]


@pytest.mark.parametrize("method", ["CreateUser", "UpdateUser"])
async def test_every_taken_value_is_named(market: Market, method: str) -> None:
    """A user whose email one user has and whose username another has is told both, in the order of the fields."""
    first, second = await market.user(), await market.user()
    third = await market.user() if method == "UpdateUser" else user_pb2.User()
    user = user_pb2.User(name=third.name, email=first.email.upper(), username=second.username)
    request: Any = {
        "CreateUser": user_pb2.CreateUserRequest(user=user),
        "UpdateUser": user_pb2.UpdateUserRequest(user=user, update_mask=FieldMask(paths=["username", "email"])),
    }[method]
    told = await refused(getattr(market.users, method)(request))
    assert told.code is grpc.StatusCode.ALREADY_EXISTS
    assert list(told.fields) == BOTH
    assert set(told.reasons.values()) == {"ALREADY_EXISTS"}
    assert told.message == "Other resources have the same user.email, and the same user.username."
    assert told.info.metadata == {"field": "user.email, user.username"}


async def test_a_value_of_ones_own_is_not_taken(market: Market) -> None:
    """An Update that keeps the user's own email, and takes another's username, names the username alone."""
    mine, other = await market.user(), await market.user()
    user = user_pb2.User(name=mine.name, email=mine.email, username=other.username)
    told = await refused(market.users.UpdateUser(user_pb2.UpdateUserRequest(user=user)))
    assert list(told.fields) == ["user.username"]
    assert told.message == "Another resource has the same user.username."


async def test_values_that_are_taken_together_are_named_together(market: Market) -> None:
    """An Update of one of two values that must not be shared together names both, whichever it wrote."""

    async def product(name: str, category: str) -> product_pb2.Product:
        made = product_pb2.Product(display_name=name, category=category, price_cents=1)
        return await market.products.CreateProduct(product_pb2.CreateProductRequest(product=made))

    await product("Kettle of two", "Kitchen")
    other = await product("Kettle of two", "Garden")
    change = product_pb2.Product(name=other.name, category="Kitchen")
    told = await refused(market.products.UpdateProduct(product_pb2.UpdateProductRequest(product=change)))
    assert list(told.fields) == ["product.display_name", "product.category"]
