"""Users: the people of the marketplace."""

from marketplace.v1 import user_pb2

from marketplace_service.api.password import hash_password
from tablestakes.crud import Resource
from marketplace_service.models import User

RESOURCE = Resource(message=user_pb2.User, model=User, encode={"password": hash_password})
