"""Posts: texts that users write. A draft is published, and a published post is archived."""

from marketplace.v1 import post_pb2

from marketplace_service.models import Post
from tablestakes import Resource, Transition

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
)
