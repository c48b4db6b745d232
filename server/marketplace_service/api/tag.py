"""Tags: what posts are about."""

from marketplace.v1 import tag_pb2
from tablestakes import Resource

from marketplace_service.models import Tag

RESOURCE = Resource(message=tag_pb2.Tag, model=Tag)
