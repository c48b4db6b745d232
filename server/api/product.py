"""Products: what is sold, and how much of it is left."""

from marketplace.v1 import product_pb2

from server.crud import Resource
from server.models import Product

RESOURCE = Resource(message=product_pb2.Product, model=Product)
