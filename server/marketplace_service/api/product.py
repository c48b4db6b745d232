"""Products: what is sold, and how much of it is left."""

from marketplace.v1 import product_pb2
from tablestakes import Resource

from marketplace_service.models import Product

RESOURCE = Resource(message=product_pb2.Product, model=Product)
