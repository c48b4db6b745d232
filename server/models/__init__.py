"""The tables. Importing this room imports every one of them, which is what migrations compare against."""

from server.models.address import Address
from server.models.comment import Comment
from server.models.declarative import Base
from server.models.order import Order, OrderItem
from server.models.post import Post, post_tags
from server.models.product import Product
from server.models.profile import Profile
from server.models.tag import Tag
from server.models.transfer import Transfer
from server.models.user import User
from server.models.wallet import Wallet

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
