"""Addresses: where users are to be reached."""

from marketplace.v1 import address_pb2

from marketplace_service.models import Address
from tablestakes import Resource

RESOURCE = Resource(message=address_pb2.Address, model=Address)
