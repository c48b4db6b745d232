"""Addresses: where users are to be reached."""

from marketplace.v1 import address_pb2
from tablestakes import Resource

from marketplace_service.models import Address

RESOURCE = Resource(message=address_pb2.Address, model=Address)
