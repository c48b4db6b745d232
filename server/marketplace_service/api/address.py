"""Addresses: where users are to be reached."""

from marketplace.v1 import address_pb2

from marketplace_service.models import Address
from tablestakes import AUTHENTICATED, EVERY_ROW, KNOWN, Resource, RowPolicy

RESOURCE = Resource(
    message=address_pb2.Address,
    model=Address,
    reads=KNOWN,
    writes=KNOWN,
    rows=(
        RowPolicy(to=AUTHENTICATED, read="parent = $caller.user", write="parent = $caller.user"),
        RowPolicy(to="admin", read=EVERY_ROW, write=EVERY_ROW),
    ),
)
