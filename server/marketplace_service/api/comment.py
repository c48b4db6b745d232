"""Comments: what users say under posts."""

from marketplace.v1 import comment_pb2
from tablestakes import Resource

from marketplace_service.models import Comment

RESOURCE = Resource(message=comment_pb2.Comment, model=Comment)
