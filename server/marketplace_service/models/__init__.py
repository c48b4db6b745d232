"""The tables. Importing this room imports every one of them, which is what migrations compare against."""

from marketplace_service.models.address import Address
from marketplace_service.models.comment import Comment
from marketplace_service.models.declarative import Base
from marketplace_service.models.order import Order, OrderItem
from marketplace_service.models.post import Post, post_tags
from marketplace_service.models.product import Product
from marketplace_service.models.profile import Profile
from marketplace_service.models.tag import Tag
from marketplace_service.models.transfer import Transfer
from marketplace_service.models.user import User
from marketplace_service.models.wallet import Wallet

__all__ = [
    "Address",
    "Base",
    "Comment",
    "Order",
    "OrderItem",
    "Post",
    "Product",
    "Profile",
    "Tag",
    "Transfer",
    "User",
    "Wallet",
    "post_tags",
]
