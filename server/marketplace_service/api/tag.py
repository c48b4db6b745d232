"""Tags: what posts are about."""

from marketplace.v1 import tag_pb2

from marketplace_service.models import Tag
from tablestakes import Resource

RESOURCE = Resource(message=tag_pb2.Tag, model=Tag)
