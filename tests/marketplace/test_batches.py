"""Batches at their bounds: a thousand items, answers that are too large, and others in the way."""

import asyncio
import random

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from marketplace.v1 import post_pb2, product_pb2, user_pb2

from tests.marketplace.client import Market, attempt, refused
from tests.status import Refusal

MOST = 1000


async def products(market: Market, count: int) -> list[product_pb2.Product]:
    """Create products of one category in one batch."""
    mark = f"{random.getrandbits(64):x}"
    requests = [
        product_pb2.CreateProductRequest(
            product=product_pb2.Product(display_name=f"{mark} {number}", category=mark, price_cents=1, stock=number)
        )
        for number in range(count)
    ]
    answer = await market.products.BatchCreateProducts(product_pb2.BatchCreateProductsRequest(requests=requests))
    return list(answer.products)


def stocks(batch: list[product_pb2.Product], stock: int) -> product_pb2.BatchUpdateProductsRequest:
    """Return the request that sets the stock of products."""
    return product_pb2.BatchUpdateProductsRequest(
        requests=[
            product_pb2.UpdateProductRequest(
                product=product_pb2.Product(name=each.name, stock=stock), update_mask=FieldMask(paths=["stock"])
            )
            for each in batch
        ]
    )


async def test_a_thousand_are_created_changed_and_deleted(market: Market) -> None:
    """A batch may have a thousand items, and each answer has them in the order of the requests."""
    made = await products(market, MOST)
    assert [each.stock for each in made] == list(range(MOST))
    assert len({each.name for each in made}) == MOST
    changed = (await market.products.BatchUpdateProducts(stocks(made[::-1], 7))).products
    assert [each.name for each in changed] == [each.name for each in made[::-1]]
    assert {each.stock for each in changed} == {7}
    requests = [product_pb2.DeleteProductRequest(name=each.name) for each in made]
    await market.products.BatchDeleteProducts(product_pb2.BatchDeleteProductsRequest(requests=requests))
    answer = await refused(market.products.GetProduct(product_pb2.GetProductRequest(name=made[-1].name)))
    assert answer.code is grpc.StatusCode.NOT_FOUND


async def test_an_answer_that_is_too_large_undoes_the_batch(market: Market) -> None:
    """Where the resources are more than an answer can have, nothing of the batch is left."""
    author = (await market.user()).name
    post = post_pb2.Post(author=author, title="large", content="x" * 100_000)
    creations = post_pb2.BatchCreatePostsRequest(requests=[post_pb2.CreatePostRequest(post=post)] * 9)
    made = [each for _ in range(5) for each in (await market.posts.BatchCreatePosts(creations)).posts]
    mask = FieldMask(paths=["title"])
    changes = [
        post_pb2.UpdatePostRequest(post=post_pb2.Post(name=each.name, title="changed"), update_mask=mask)
        for each in made
    ]
    answer = await refused(market.posts.BatchUpdatePosts(post_pb2.BatchUpdatePostsRequest(requests=changes)))
    assert (answer.code, answer.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RESPONSE_TOO_LARGE")
    for each in (made[0], made[-1]):
        assert (await market.posts.GetPost(post_pb2.GetPostRequest(name=each.name))).title == "large"


async def test_batches_in_each_others_way_wait(market: Market) -> None:
    """Batches of the same resources in opposite orders all succeed: rows are locked in one order."""
    made = await products(market, 40)
    batches = [made if number % 2 else made[::-1] for number in range(8)]
    calls = [market.products.BatchUpdateProducts(stocks(each, number)) for number, each in enumerate(batches)]
    answers = await asyncio.gather(*(attempt(call) for call in calls))
    assert not [answer for answer in answers if isinstance(answer, Refusal)]
    listed = [await market.products.GetProduct(product_pb2.GetProductRequest(name=each.name)) for each in made]
    assert len({each.stock for each in listed}) == 1


async def test_validation_of_many_items_names_each(market: Market) -> None:
    """Of a thousand items each that breaks a rule of the proto is named by its index."""
    requests = []
    for number in range(MOST):
        name = f"v{random.getrandbits(48):x}"
        email = "no address" if number in (5, 6, 7, 998) else f"{name}@example.com"
        requests.append(user_pb2.CreateUserRequest(user=user_pb2.User(email=email, username=name)))
    answer = await refused(market.users.BatchCreateUsers(user_pb2.BatchCreateUsersRequest(requests=requests)))
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.info.metadata["items"] == "5-7,998"
    assert {path.partition(".")[0] for path in answer.fields} == {f"requests[{index}]" for index in (5, 6, 7, 998)}
