"""Comments: what users say under posts."""

from marketplace.v1 import comment_pb2

from marketplace_service.models import Comment
from tablestakes import Resource

RESOURCE = Resource(message=comment_pb2.Comment, model=Comment)
