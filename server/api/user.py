"""Users: the people of the marketplace."""

from marketplace.v1 import user_pb2

from server.api.password import hash_password
from server.crud import Resource
from server.models import User

RESOURCE = Resource(message=user_pb2.User, model=User, encode={"password": hash_password})
