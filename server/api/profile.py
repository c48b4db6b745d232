"""Profiles: what users tell about themselves; one for each user."""

from marketplace.v1 import profile_pb2

from server.crud import Resource
from server.models import Profile

RESOURCE = Resource(message=profile_pb2.Profile, model=Profile)
