"""Comments: what users say under posts."""

from marketplace.v1 import comment_pb2

from server.crud import Resource
from server.models import Comment

RESOURCE = Resource(message=comment_pb2.Comment, model=Comment)
