"""Walks through the marketplace with real calls, and prints each request and its response as Markdown.

`python docs/walkthrough.py --target 127.0.0.1:50051` needs a server on a fresh database, and nothing of the server
but its stubs.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from google.type import date_pb2
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

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

INTRODUCTION = """\
# A walk through the marketplace

This page is what `docs/walkthrough.py` prints on a fresh database; it is made anew with
`python docs/walkthrough.py --target 127.0.0.1:50051 > docs/walkthrough.md` while
`tablestakes serve --policy=on --preshared-keys=docs/walkthrough-keys.json` runs. Each call has a key of that file
as `authorization: Bearer …`: that of an admin, up to the chapter on who may do what.
Requests and responses are in protobuf's JSON form, where 64-bit numbers are strings; `"…"` stands for each time
and each etag."""

# The RPC of each request: every one has a request of its own.
RPCS = {
    method.input_type.full_name: f"{service.name}/{method.name}"
    for module in (order_pb2, post_pb2, product_pb2, tag_pb2, user_pb2, wallet_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}

# The status of a refusal names the types of its details, and only those that are loaded can be printed.
DETAILS = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest)
DETAILS_KEY = "grpc-status-details-bin"

# The keys of those who call, by the subject.
KEYS = {
    each["subject"]: each["key"]
    for each in json.loads(Path(__file__).with_name("walkthrough-keys.json").read_text())["keys"]
}


class Caller(grpc.UnaryUnaryClientInterceptor):
    """Sends the key of who calls with each call.

    Attributes:
        subject: Who calls; "" for nobody who is known.
    """

    subject = "admin"

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        """Make a call with the key."""
        if self.subject:
            more = (("authorization", f"Bearer {KEYS[self.subject]}"),)
            details = details._replace(metadata=(*(details.metadata or ()), *more))
        return continuation(details, request)


CALLER = Caller()


def call(sentence: str, method: Callable[[Request], Response], request: Request) -> Response:
    """Call a method, print what went to and fro under a sentence, and return the response.

    Raises:
        grpc.RpcError: The server refused it, which this walk does not expect.
    """
    response = method(request)
    show(sentence, request, "answers", plain(response))
    return response


def refused(sentence: str, method: Callable[[Request], Message], request: Request) -> None:
    """Call a method that the server is to refuse, and print its status under a sentence.

    Raises:
        AssertionError: The server did not refuse it.
    """
    try:
        method(request)
    except grpc.RpcError as error:
        packed = [entry.value for entry in error.trailing_metadata() or () if entry.key == DETAILS_KEY]
        status = plain(status_pb2.Status.FromString(b"".join(packed)))
        show(sentence, request, f"is refused with `{error.code().name}`:", status)
    else:
        raise AssertionError(f"{RPCS[request.DESCRIPTOR.full_name]} was not refused")


def show(sentence: str, request: Message, outcome: str, answer: Any) -> None:
    """Print one step."""
    print(f"\n{sentence}\n\n`{RPCS[request.DESCRIPTOR.full_name]}` with\n\n{block(plain(request))}\n")
    print(f"{outcome}\n\n{block(answer)}")


def chapter(title: str) -> None:
    """Print the title of what comes next."""
    print(f"\n## {title}")


def plain(message: Message) -> Any:
    """Return a message in protobuf's JSON form, without times and etags, with maps in order: the same each time."""
    return steady(MessageToDict(message))


def steady(value: Any) -> Any:
    """Return a JSON value without what differs from run to run."""
    if isinstance(value, list):
        return [steady(item) for item in value]
    if not isinstance(value, dict):
        return value
    keys: dict[str, Any] = {
        key: "…" if key.endswith("Time") or key == "etag" else steady(item) for key, item in value.items()
    }
    if "metadata" in keys:
        keys["metadata"] = dict(sorted(keys["metadata"].items()))
    return keys


def block(value: Any) -> str:
    """Return a JSON value as a block of code."""
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"


def people(channel: grpc.Channel) -> tuple[str, str]:
    """Sign up two users, tell of one of them, and return the names of both."""
    users = user_pb2_grpc.UserServiceStub(channel)
    chapter("People")
    ann = call(
        "Ann signs up. The server chooses her name, and keeps her email in lower case. The password goes in, is"
        " kept only as a hash, and never comes out again.",
        users.CreateUser,
        user_pb2.CreateUserRequest(
            user=user_pb2.User(
                email="Ann@Example.com",
                username="ann",
                full_name="Ann Lee",
                password="correct horse battery staple",  # noqa: S106 - it is there to be shown
            )
        ),
    )
    ben = call(
        "Ben signs up without a password.",
        users.CreateUser,
        user_pb2.CreateUserRequest(
            user=user_pb2.User(email="ben@example.com", username="ben", full_name="Ben Ode")
        ),
    )
    call(
        "A profile comes with its user, so it is not created but updated, here two fields of it.",
        users.UpdateProfile,
        profile_pb2.UpdateProfileRequest(
            profile=profile_pb2.Profile(
                name=f"{ann.name}/profile",
                bio="Potter from Delft.",
                birth_date=date_pb2.Date(year=1990, month=12, day=31),
            ),
            update_mask=FieldMask(paths=["bio", "birth_date"]),
        ),
    )
    call(
        "An address belongs to a user, who is its parent.",
        users.CreateAddress,
        address_pb2.CreateAddressRequest(
            parent=ben.name,
            address=address_pb2.Address(
                label="Home", lines="Oude Delft 80", city="Delft", postal_code="2611 CD", region_code="NL"
            ),
        ),
    )
    return ann.name, ben.name


def writing(channel: grpc.Channel, ann: str, ben: str) -> None:
    """Make tags, write a post, publish it and comment on it."""
    tags, posts = tag_pb2_grpc.TagServiceStub(channel), post_pb2_grpc.PostServiceStub(channel)
    chapter("Posts")
    ceramics = call(
        "Whoever creates a tag chooses its id.",
        tags.CreateTag,
        tag_pb2.CreateTagRequest(tag=tag_pb2.Tag(display_name="Ceramics"), tag_id="ceramics"),
    )
    how_to = call(
        "And another one.",
        tags.CreateTag,
        tag_pb2.CreateTagRequest(tag=tag_pb2.Tag(display_name="How to"), tag_id="how-to"),
    )
    post = call(
        "Ann writes a post about both. It is a draft.",
        posts.CreatePost,
        post_pb2.CreatePostRequest(
            post=post_pb2.Post(
                author=ann,
                title="How to centre clay",
                content="Wet your hands. Lean in. Breathe.",
                tags=[ceramics.name, how_to.name],
            )
        ),
    )
    call("She publishes it.", posts.PublishPost, post_pb2.PublishPostRequest(name=post.name))
    call(
        "Ben comments on it.",
        posts.CreateComment,
        comment_pb2.CreateCommentRequest(
            parent=post.name, comment=comment_pb2.Comment(author=ben, body="It is the breathing that does it.")
        ),
    )
    call(
        "`posts/-` stands for every post: these are the comments on all of them.",
        posts.ListComments,
        comment_pb2.ListCommentsRequest(parent="posts/-", page_size=10),
    )
    call(
        "A list of posts leaves out their content, unless `view` asks for it.",
        posts.ListPosts,
        post_pb2.ListPostsRequest(page_size=10),
    )


def trade(channel: grpc.Channel, ben: str) -> None:
    """Offer products, pay in, and take one order to its end and another one back."""
    products = product_pb2_grpc.ProductServiceStub(channel)
    orders, wallets = order_pb2_grpc.OrderServiceStub(channel), wallet_pb2_grpc.WalletServiceStub(channel)
    chapter("Orders")
    mug = call(
        "A product has a price in cents, and a stock.",
        products.CreateProduct,
        product_pb2.CreateProductRequest(
            product=product_pb2.Product(display_name="Mug", category="Kitchen", price_cents=1_450, stock=12)
        ),
    )
    vase = call(
        "And another one.",
        products.CreateProduct,
        product_pb2.CreateProductRequest(
            product=product_pb2.Product(display_name="Vase", category="Home", price_cents=4_900, stock=1)
        ),
    )
    call(
        "Ben pays 100.00 into his wallet.",
        wallets.DepositMoney,
        wallet_pb2.DepositMoneyRequest(name=f"{ben}/wallet", amount_cents=10_000),
    )
    mugs = order_pb2.OrderItem(product=mug.name, quantity=2)
    one_vase = order_pb2.OrderItem(product=vase.name, quantity=1)
    first = call(
        "He orders two mugs and the vase, at the prices of this moment. The items are taken from the stock.",
        orders.CreateOrder,
        order_pb2.CreateOrderRequest(order=order_pb2.Order(customer=ben, items=[mugs, one_vase])),
    )
    refused(
        "That was the only vase.",
        orders.CreateOrder,
        order_pb2.CreateOrderRequest(order=order_pb2.Order(customer=ben, items=[one_vase])),
    )
    refused(
        "An order is shipped only once it is paid.",
        orders.ShipOrder,
        order_pb2.ShipOrderRequest(name=first.name),
    )
    call("So he pays.", orders.PayOrder, order_pb2.PayOrderRequest(name=first.name))
    call("Now it is shipped.", orders.ShipOrder, order_pb2.ShipOrderRequest(name=first.name))
    refused(
        "What is on its way is not cancelled.", orders.CancelOrder, order_pb2.CancelOrderRequest(name=first.name)
    )
    second = call(
        "He orders two more mugs,",
        orders.CreateOrder,
        order_pb2.CreateOrderRequest(order=order_pb2.Order(customer=ben, items=[mugs])),
    )
    call(
        "and changes his mind. The mugs go back to the stock.",
        orders.CancelOrder,
        order_pb2.CancelOrderRequest(name=second.name),
    )
    call("So there are ten of them.", products.GetProduct, product_pb2.GetProductRequest(name=mug.name))


def money(channel: grpc.Channel, ann: str, ben: str) -> None:
    """Transfer what there is, fail to transfer what there is not, and look into the wallets."""
    wallets = wallet_pb2_grpc.WalletServiceStub(channel)
    chapter("Money")

    def transfer(cents: int) -> transfer_pb2.CreateTransferRequest:
        return transfer_pb2.CreateTransferRequest(
            transfer=transfer_pb2.Transfer(source=f"{ben}/wallet", destination=f"{ann}/wallet", amount_cents=cents)
        )

    call("Ben gives Ann 15.00.", wallets.CreateTransfer, transfer(1_500))
    refused("He has not got another 15.00, and nothing is moved.", wallets.CreateTransfer, transfer(1_500))
    call(
        "Of the 100.00 he is left with what the order and the gift did not take.",
        wallets.GetWallet,
        wallet_pb2.GetWalletRequest(name=f"{ben}/wallet"),
    )
    call("And Ann has the gift.", wallets.GetWallet, wallet_pb2.GetWalletRequest(name=f"{ann}/wallet"))


def policies(channel: grpc.Channel, ben: str) -> None:
    """Call as nobody, as Ben and as Ann, and meet the policies."""
    posts = post_pb2_grpc.PostServiceStub(channel)
    wallets = wallet_pb2_grpc.WalletServiceStub(channel)
    chapter("Who may do what")
    CALLER.subject = ""
    found = call(
        "Who has no key is served what is public: the posts that are published.",
        posts.ListPosts,
        post_pb2.ListPostsRequest(),
    )
    published = found.posts[0].name
    draft = post_pb2.Post(title="On handles")
    refused("To write takes to be known.", posts.CreatePost, post_pb2.CreatePostRequest(post=draft))
    CALLER.subject = "ben"
    made = call(
        "Ben is known. He need not say who the author is, and could be nobody else.",
        posts.CreatePost,
        post_pb2.CreatePostRequest(post=draft),
    )
    refused(
        "The post of Ann he can read, and not change.",
        posts.UpdatePost,
        post_pb2.UpdatePostRequest(
            post=post_pb2.Post(name=published, title="Ben's"), update_mask=FieldMask(paths=["title"])
        ),
    )
    refused(
        "Money is paid in by admins alone, whosever the wallet is.",
        wallets.DepositMoney,
        wallet_pb2.DepositMoneyRequest(name=f"{ben}/wallet", amount_cents=100),
    )
    CALLER.subject = "ann"
    refused("Of Ben's draft Ann is told nothing.", posts.GetPost, post_pb2.GetPostRequest(name=made.name))
    refused(
        "And for her his wallet is not there.", wallets.GetWallet, wallet_pb2.GetWalletRequest(name=f"{ben}/wallet")
    )


def main() -> int:
    """Walk, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--target", default="127.0.0.1:50051", help="where the server listens")
    print(INTRODUCTION)
    with grpc.insecure_channel(parser.parse_args().target) as plain_channel:
        channel = grpc.intercept_channel(plain_channel, CALLER)
        try:
            ann, ben = people(channel)
            writing(channel, ann, ben)
            trade(channel, ben)
            money(channel, ann, ben)
            policies(channel, ben)
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()} (the walk needs a fresh database)", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
