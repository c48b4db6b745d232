"""Products: what is sold, and how much of it is left."""

from marketplace.v1 import product_pb2

from marketplace_service.api.roles import ADMIN
from marketplace_service.models import Product
from tablestakes import ANYONE, EVERY_ROW, PUBLIC, Resource, RowPolicy

RESOURCE = Resource(
    message=product_pb2.Product,
    model=Product,
    orders=("category, price_cents", "price_cents"),
    filterable=("category", "price_cents"),
    reads=PUBLIC,
    writes=ADMIN,
    access={"ExportProducts": ADMIN},
    rows=(
        RowPolicy(to=ANYONE, read=EVERY_ROW),
        RowPolicy(to="admin", read=EVERY_ROW, write=EVERY_ROW),
    ),
)
