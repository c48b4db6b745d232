"""Posts: texts that users write. A draft is published, and a published post is archived."""

from marketplace.v1 import post_pb2

from marketplace_service.api.roles import ADMIN
from marketplace_service.models import Post
from tablestakes import (
    ANYONE,
    AUTHENTICATED,
    EVERY_ROW,
    KNOWN,
    PUBLIC,
    FieldPolicy,
    Resource,
    RowPolicy,
    Transition,
)

RESOURCE = Resource(
    message=post_pb2.Post,
    model=Post,
    full_view_only=frozenset({"content"}),
    orders=("publish_time desc",),
    filterable=("author", "tags", "publish_time"),
    methods={
        "PublishPost": Transition(("DRAFT",), "PUBLISHED", stamp="publish_time"),
        "ArchivePost": Transition(("PUBLISHED",), "ARCHIVED"),
    },
    reads=PUBLIC,
    writes=KNOWN,
    access={"ExportPosts": ADMIN, "PurgePosts": ADMIN},
    rows=(
        RowPolicy(to=ANYONE, read="state = PUBLISHED AND NOT delete_time:*"),
        RowPolicy(to=AUTHENTICATED, read="author = $caller.user", write="author = $caller.user"),
        RowPolicy(to="admin", read=EVERY_ROW, write=EVERY_ROW),
    ),
    fields=(FieldPolicy(field="author", writers=frozenset({"admin"}), preset="$caller.user"),),
)
