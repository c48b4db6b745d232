"""Posts: what users write. A draft is published, and what was published is archived."""

from marketplace.v1 import post_pb2

from tablestakes.crud import Resource, Transition
from marketplace_service.models import Post

RESOURCE = Resource(
    message=post_pb2.Post,
    model=Post,
    detail=frozenset({"content"}),
    methods={
        "PublishPost": Transition(("DRAFT",), "PUBLISHED", stamp="publish_time"),
        "ArchivePost": Transition(("PUBLISHED",), "ARCHIVED"),
    },
)
