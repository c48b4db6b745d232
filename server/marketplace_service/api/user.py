"""Users: the people of the marketplace."""

from marketplace.v1 import user_pb2

from marketplace_service.api.password import hash_password
from marketplace_service.models import User
from tablestakes import Resource

RESOURCE = Resource(
    message=user_pb2.User,
    model=User,
    transform={"password": hash_password},
    orders=("username",),
    filterable=("email", "username"),
)
