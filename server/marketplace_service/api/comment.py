"""Comments: what users say under posts."""

from marketplace.v1 import comment_pb2

from marketplace_service.models import Comment
from tablestakes import ANYONE, AUTHENTICATED, EVERY_ROW, KNOWN, PUBLIC, FieldPolicy, Resource, RowPolicy

RESOURCE = Resource(
    message=comment_pb2.Comment,
    model=Comment,
    reads=PUBLIC,
    writes=KNOWN,
    rows=(
        RowPolicy(to=ANYONE, read="parent.state = PUBLISHED AND NOT parent.delete_time:*"),
        RowPolicy(to=AUTHENTICATED, read="parent.author = $caller.user"),
        RowPolicy(to=AUTHENTICATED, read="author = $caller.user", write="author = $caller.user"),
        RowPolicy(to="admin", read=EVERY_ROW, write=EVERY_ROW),
    ),
    fields=(FieldPolicy(field="author", writers=frozenset({"admin"}), preset="$caller.user"),),
)
