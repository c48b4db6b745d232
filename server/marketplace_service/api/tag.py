"""Tags: what posts are about. The proto says who may call."""

from marketplace.v1 import tag_pb2

from marketplace_service.models import Tag
from tablestakes import ANYONE, EVERY_ROW, Resource, RowPolicy

RESOURCE = Resource(
    message=tag_pb2.Tag,
    model=Tag,
    rows=(
        RowPolicy(to=ANYONE, read=EVERY_ROW),
        RowPolicy(to="admin", read=EVERY_ROW, write=EVERY_ROW),
    ),
)
