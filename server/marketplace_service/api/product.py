"""Products: what is sold, and how much of it is left."""

from marketplace.v1 import product_pb2

from marketplace_service.models import Product
from tablestakes import Resource

RESOURCE = Resource(
    message=product_pb2.Product,
    model=Product,
    orders=("category, price_cents", "price_cents"),
    filterable=("category", "price_cents"),
)
