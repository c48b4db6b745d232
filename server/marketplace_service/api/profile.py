"""Profiles: what users tell about themselves; one for each user."""

from marketplace.v1 import profile_pb2

from marketplace_service.models import Profile
from tablestakes import Resource

RESOURCE = Resource(message=profile_pb2.Profile, model=Profile)
