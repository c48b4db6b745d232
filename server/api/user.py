"""Users: the people of the marketplace."""

from marketplace.v1 import user_pb2

from server.crud import Resource
from server.models import User

RESOURCE = Resource(message=user_pb2.User, model=User)
