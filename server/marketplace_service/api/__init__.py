"""Every resource of the marketplace, in the order in which `tablestakes routes` lists them."""

from marketplace_service.api import (
    address,
    comment,
    order,
    post,
    product,
    profile,
    tag,
    transfer,
    user,
    wallet,
)
from tablestakes import Resource

RESOURCES: tuple[Resource, ...] = (
    user.RESOURCE,
    profile.RESOURCE,
    address.RESOURCE,
    post.RESOURCE,
    comment.RESOURCE,
    tag.RESOURCE,
    product.RESOURCE,
    order.RESOURCE,
    wallet.RESOURCE,
    transfer.RESOURCE,
)
