"""Profiles: what users tell about themselves; one for each user."""

from marketplace.v1 import profile_pb2

from marketplace_service.models import Profile
from tablestakes import AUTHENTICATED, EVERY_ROW, KNOWN, Resource, RowPolicy

RESOURCE = Resource(
    message=profile_pb2.Profile,
    model=Profile,
    reads=KNOWN,
    writes=KNOWN,
    rows=(
        RowPolicy(to=AUTHENTICATED, read="parent = $caller.user", write="parent = $caller.user"),
        RowPolicy(to="admin", read=EVERY_ROW, write=EVERY_ROW),
    ),
)
