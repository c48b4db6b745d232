"""What is served: every resource of the marketplace, in the order in which `tablestakes routes` lists them."""

from server.api import user
from server.crud import Resource

RESOURCES: tuple[Resource, ...] = (user.RESOURCE,)
