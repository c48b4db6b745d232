"""Every method of the marketplace, called once or more: each call by hand as HTTP and as protobuf's JSON form.

The verbs and paths are written out, and not made of the annotations in the protos: those are what is tested.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Any
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Step:
    """One call.

    Attributes:
        method: The service without its last word and the method, `User.GetUser`.
        http: The verb and path, with `{ann}` for a name that an earlier step saved.
        request: The whole request, which gRPC-Web sends.
        body: The field of it that JSON sends as the body, `*` for all but `name`, empty for none.
        query: The fields of it that JSON sends as parameters.
        answer: Some fields of the answer; a list of them for each response of a stream.
        save: What the name in the answer is saved as.
    """

    method: str
    http: str
    request: Mapping[str, Json] = field(default_factory=dict)
    body: str = ""
    query: tuple[str, ...] = ()
    answer: Json = field(default_factory=dict)
    save: str = ""

    @property
    def rpc(self) -> str:
        """The method as gRPC names it: `marketplace.v1.UserService/GetUser`."""
        service, _, method = self.method.partition(".")
        return f"marketplace.v1.{service}Service/{method}"


def filled(value: Json, names: Mapping[str, str]) -> Json:
    """Return a JSON value with each `{ann}` in its strings replaced."""
    if isinstance(value, str):
        return _PLACE.sub(lambda match: names[match[1]], value)
    if isinstance(value, dict):
        return {key: filled(item, names) for key, item in value.items()}
    return [filled(item, names) for item in value] if isinstance(value, list) else value


def contains(found: Json, expected: Json) -> bool:
    """Return whether a JSON value has all that is expected of it.

    An object may have more members, and a list more items; an empty list is left out, as ProtoJSON has it.
    """
    if expected == []:
        return found is None
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(contains(found.get(key), item) for key, item in expected.items())
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) >= len(expected) and all(map(contains, found, expected))
    return bool(found == expected)


def _created(kind: str, collection: str, save: str, resource: dict[str, Json], **more: Json) -> Step:
    """Return the creation of a resource without a parent."""
    body = kind.lower()
    return Step(
        f"{more.pop('service', kind)}.Create{kind}",
        f"POST /v1/{collection}",
        {body: resource, **more},
        body,
        tuple(more),
        resource,
        save,
    )


def _named(method: str, verb: str, name: str, action: str = "", /, **answer: Json) -> Step:
    """Return a call that takes a name and nothing else."""
    http = f"{verb} /v1/{name}{action}"
    return Step(method, http, {"name": name}, "*" if action else "", (), answer)


def _changed(method: str, body: str, name: str, mask: str, /, **values: Json) -> Step:
    """Return an Update of the fields in a mask."""
    request = {body: {"name": name, **values}, "updateMask": mask}
    return Step(method, f"PATCH /v1/{name}", request, body, ("updateMask",), {"name": name, **values})


def _many(method: str, path: str, collection: str, *names: str, **parent: Json) -> Step:
    """Return the reading of several resources at once."""
    answer = {collection: [{"name": name} for name in names]}
    return Step(
        method, f"GET /v1/{path}:batchGet", {"names": list(names), **parent}, query=("names",), answer=answer
    )


def _batches(
    service: str, kind: str, path: str, collection: str, new: Json, name: str, change: Json, **parent: Json
) -> tuple[Step, ...]:
    """Return a batch of each kind; only the one of changes takes effect."""
    body, many = kind.lower(), collection[0].upper() + collection[1:]
    deletion = {"requests": [{"name": name}], "validateOnly": True, **parent}
    change = {"name": name, **change}
    return (
        Step(
            f"{service}.BatchCreate{many}",
            f"POST /v1/{path}:batchCreate",
            {"requests": [new], "validateOnly": True, **parent},
            "*",
            answer={collection: [{}]},
        ),
        Step(
            f"{service}.BatchUpdate{many}",
            f"POST /v1/{path}:batchUpdate",
            {"requests": [{body: change, "updateMask": ",".join(set(change) - {"name"})}], **parent},
            "*",
            answer={collection: [change]},
        ),
        Step(f"{service}.BatchDelete{many}", f"POST /v1/{path}:batchDelete", deletion, "*"),
    )


STEPS = (
    _created("User", "users", "ann", {"email": "ann_{door}@example.com", "username": "ann_{door}"}),
    _created("User", "users", "bob", {"email": "bob_{door}@example.com", "username": "bob_{door}"}),
    _created("User", "users", "cy", {"email": "cy_{door}@example.com", "username": "cy_{door}"}),
    _named("User.GetUser", "GET", "{ann}", username="ann_{door}", active=True),
    Step("User.ListUsers", "GET /v1/users", {"pageSize": 2}, query=("pageSize",), answer={"users": [{}, {}]}),
    _many("User.BatchGetUsers", "users", "users", "{bob}", "{ann}"),
    _changed("User.UpdateUser", "user", "{ann}", "fullName,active", fullName="Ann Lee", active=False),
    *_batches(
        "User",
        "User",
        "users",
        "users",
        {"user": {"email": "new_{door}@example.com", "username": "new_{door}"}},
        "{cy}",
        {"fullName": "Cy Ng"},
    ),
    _named("User.GetProfile", "GET", "{ann}/profile", name="{ann}/profile"),
    _many("User.BatchGetProfiles", "users/-/profiles", "profiles", "{ann}/profile", parent="users/-"),
    _changed(
        "User.UpdateProfile",
        "profile",
        "{ann}/profile",
        "bio,birthDate",
        bio="Ünïcode ✓",
        birthDate={"year": 1990, "month": 2, "day": 28},
    ),
    Step(
        "User.BatchUpdateProfiles",
        "POST /v1/users/-/profiles:batchUpdate",
        {
            "parent": "users/-",
            "requests": [{"profile": {"name": "{ann}/profile", "bio": "New"}, "updateMask": "bio"}],
        },
        "*",
        answer={"profiles": [{"name": "{ann}/profile", "bio": "New"}]},
    ),
    Step(
        "User.CreateAddress",
        "POST /v1/{ann}/addresses",
        {
            "parent": "{ann}",
            "address": {"label": "Home", "lines": "1 Long Road", "city": "York", "regionCode": "GB"},
        },
        "address",
        answer={"city": "York"},
        save="address",
    ),
    _named("User.GetAddress", "GET", "{address}", city="York"),
    Step(
        "User.ListAddresses",
        "GET /v1/{ann}/addresses",
        {"parent": "{ann}"},
        answer={"addresses": [{"city": "York"}]},
    ),
    _many("User.BatchGetAddresses", "{ann}/addresses", "addresses", "{address}", parent="{ann}"),
    _changed("User.UpdateAddress", "address", "{address}", "city", city="Leeds"),
    *_batches(
        "User",
        "Address",
        "{ann}/addresses",
        "addresses",
        {"parent": "{ann}", "address": {"lines": "2 Long Road", "city": "York", "regionCode": "GB"}},
        "{address}",
        {"label": "Work"},
        parent="{ann}",
    ),
    _created("Tag", "tags", "tag", {"displayName": "News & more"}, tagId="news-{door}"),
    _named("Tag.GetTag", "GET", "{tag}", displayName="News & more"),
    Step("Tag.ListTags", "GET /v1/tags", answer={"tags": [{}]}),
    _many("Tag.BatchGetTags", "tags", "tags", "{tag}"),
    _changed("Tag.UpdateTag", "tag", "{tag}", "displayName", displayName="Old news"),
    *_batches(
        "Tag",
        "Tag",
        "tags",
        "tags",
        {"tagId": "new-{door}", "tag": {"displayName": "New"}},
        "{tag}",
        {"displayName": "Older news"},
    ),
    _created("Post", "posts", "post", {"author": "{ann}", "title": "First", "content": "…", "tags": ["{tag}"]}),
    Step(
        "Post.GetPost",
        "GET /v1/{post}",
        {"name": "{post}", "view": "POST_VIEW_FULL"},
        query=("view",),
        answer={"title": "First", "content": "…", "state": "DRAFT", "tags": ["{tag}"]},
    ),
    Step("Post.ListPosts", "GET /v1/posts", {"view": "POST_VIEW_BASIC"}, query=("view",), answer={"posts": [{}]}),
    _many("Post.BatchGetPosts", "posts", "posts", "{post}"),
    Step(
        "Post.ExportPosts",
        "GET /v1/posts:export",
        {"filter": 'title = "First"', "readMask": "title"},
        query=("filter", "readMask"),
        answer=[{"posts": [{"title": "First"}]}],
    ),
    _changed("Post.UpdatePost", "post", "{post}", "title,tags", title="Second", tags=[]),
    *_batches(
        "Post",
        "Post",
        "posts",
        "posts",
        {"post": {"author": "{ann}", "title": "New"}},
        "{post}",
        {"title": "Third"},
    ),
    _named("Post.PublishPost", "POST", "{post}", ":publish", state="PUBLISHED"),
    _named("Post.ArchivePost", "POST", "{post}", ":archive", state="ARCHIVED"),
    Step(
        "Post.CreateComment",
        "POST /v1/{post}/comments",
        {"parent": "{post}", "comment": {"author": "{bob}", "body": "Well said"}},
        "comment",
        answer={"author": "{bob}"},
        save="comment",
    ),
    _named("Post.GetComment", "GET", "{comment}", body="Well said"),
    Step("Post.ListComments", "GET /v1/{post}/comments", {"parent": "{post}"}, answer={"comments": [{}]}),
    Step("Post.ListComments", "GET /v1/posts/-/comments", {"parent": "posts/-"}, answer={"comments": [{}]}),
    _many("Post.BatchGetComments", "{post}/comments", "comments", "{comment}", parent="{post}"),
    _changed("Post.UpdateComment", "comment", "{comment}", "body", body="Badly said"),
    *_batches(
        "Post",
        "Comment",
        "{post}/comments",
        "comments",
        {"parent": "{post}", "comment": {"author": "{bob}", "body": "New"}},
        "{comment}",
        {"body": "Said again"},
        parent="{post}",
    ),
    _named("Post.DeleteComment", "DELETE", "{comment}"),
    Step("Post.DeletePost", "DELETE /v1/{post}", {"name": "{post}", "force": True}, query=("force",)),
    _named("Post.UndeletePost", "POST", "{post}", ":undelete", name="{post}"),
    Step("Post.DeletePost", "DELETE /v1/{post}", {"name": "{post}", "force": True}, query=("force",)),
    Step("Post.PurgePosts", "POST /v1/posts:purge", {"filter": "*", "force": True}, "*"),
    _named("Tag.DeleteTag", "DELETE", "{tag}"),
    _created(
        "Product",
        "products",
        "product",
        {"displayName": "Lamp {door}", "category": "Light", "priceCents": "1250", "stock": "9"},
    ),
    _created(
        "Product", "products", "unsold", {"displayName": "Kite {door}", "category": "Toys", "priceCents": "1"}
    ),
    _named("Product.GetProduct", "GET", "{product}", priceCents="1250"),
    Step("Product.ListProducts", "GET /v1/products", answer={"products": [{}]}),
    _many("Product.BatchGetProducts", "products", "products", "{product}", "{product}"),
    Step("Product.ExportProducts", "GET /v1/products:export", answer=[{"products": [{}]}]),
    _changed("Product.UpdateProduct", "product", "{product}", "stock", stock="8"),
    *_batches(
        "Product",
        "Product",
        "products",
        "products",
        {"product": {"displayName": "New {door}", "category": "Light", "priceCents": "1"}},
        "{product}",
        {"stock": "9"},
    ),
    _named("Product.DeleteProduct", "DELETE", "{unsold}"),
    _named("Wallet.GetWallet", "GET", "{ann}/wallet", name="{ann}/wallet"),
    _many("Wallet.BatchGetWallets", "users/-/wallets", "wallets", "{ann}/wallet", "{bob}/wallet", parent="users/-"),
    Step(
        "Wallet.DepositMoney",
        "POST /v1/{ann}/wallet:depositMoney",
        {"name": "{ann}/wallet", "amountCents": "5000"},
        "*",
        answer={"balanceCents": "5000"},
    ),
    _created(
        "Transfer",
        "transfers",
        "transfer",
        {"source": "{ann}/wallet", "destination": "{bob}/wallet", "amountCents": "100"},
        service="Wallet",
    ),
    Step(
        "Wallet.BatchCreateTransfers",
        "POST /v1/transfers:batchCreate",
        {
            "requests": [
                {"transfer": {"source": "{ann}/wallet", "destination": "{bob}/wallet", "amountCents": "10"}}
            ]
        },
        "*",
        answer={"transfers": [{"amountCents": "10"}]},
    ),
    _named("Wallet.GetTransfer", "GET", "{transfer}", amountCents="100"),
    _many("Wallet.BatchGetTransfers", "transfers", "transfers", "{transfer}"),
    Step("Wallet.ListTransfers", "GET /v1/transfers", answer={"transfers": [{}]}),
    _created("Order", "orders", "order", {"customer": "{ann}", "items": [{"product": "{product}", "quantity": 2}]}),
    _created("Order", "orders", "other", {"customer": "{ann}", "items": [{"product": "{product}", "quantity": 1}]}),
    Step(
        "Order.BatchCreateOrders",
        "POST /v1/orders:batchCreate",
        {"requests": [{"order": {"customer": "{ann}", "items": [{"product": "{product}", "quantity": 1}]}}]},
        "*",
        answer={"orders": [{"state": "PENDING"}]},
    ),
    _named("Order.GetOrder", "GET", "{order}", totalCents="2500", state="PENDING"),
    _many("Order.BatchGetOrders", "orders", "orders", "{other}", "{order}"),
    Step("Order.ListOrders", "GET /v1/orders", answer={"orders": [{}]}),
    _named("Order.PayOrder", "POST", "{order}", ":pay", state="PAID"),
    _named("Order.ShipOrder", "POST", "{order}", ":ship", state="SHIPPED"),
    _named("Order.CancelOrder", "POST", "{other}", ":cancel", state="CANCELLED"),
    _named("User.DeleteAddress", "DELETE", "{address}"),
    Step("User.DeleteUser", "DELETE /v1/{cy}", {"name": "{cy}", "force": False}, query=("force",)),
    _named("User.UndeleteUser", "POST", "{cy}", ":undelete", name="{cy}"),
    Step("User.PurgeUsers", "POST /v1/users:purge", {"filter": "*"}, "*"),
)
