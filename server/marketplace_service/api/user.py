"""Users: the people of the marketplace."""

from marketplace.v1 import user_pb2

from marketplace_service.api.password import hash_password
from marketplace_service.api.roles import ADMIN
from marketplace_service.models import User
from tablestakes import AUTHENTICATED, EVERY_ROW, KNOWN, FieldPolicy, Resource, RowPolicy

RESOURCE = Resource(
    message=user_pb2.User,
    model=User,
    transform={"password": hash_password},
    orders=("username",),
    filterable=("email", "username"),
    reads=KNOWN,
    # Accounts are made and ended by those who run the marketplace.
    writes=ADMIN,
    access={"UpdateUser": KNOWN, "BatchUpdateUsers": KNOWN},
    rows=(
        RowPolicy(to=AUTHENTICATED, read="name = $caller.user", write="name = $caller.user"),
        RowPolicy(to="admin", read=EVERY_ROW, write=EVERY_ROW),
    ),
    fields=(FieldPolicy(field="active", writers=frozenset({"admin"})),),
)
