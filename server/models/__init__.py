"""The tables. Importing this room imports every one of them, which is what migrations compare against."""

from server.models.declarative import Base
from server.models.user import User

__all__ = ["Base", "User"]
