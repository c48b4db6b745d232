"""Tags: what posts are about."""

from marketplace.v1 import tag_pb2

from marketplace_service.api.roles import ADMIN
from marketplace_service.models import Tag
from tablestakes import ANYONE, EVERY_ROW, PUBLIC, Resource, RowPolicy

RESOURCE = Resource(
    message=tag_pb2.Tag,
    model=Tag,
    reads=PUBLIC,
    writes=ADMIN,
    rows=(
        RowPolicy(to=ANYONE, read=EVERY_ROW),
        RowPolicy(to="admin", read=EVERY_ROW, write=EVERY_ROW),
    ),
)
