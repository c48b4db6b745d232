"""The roles of the marketplace."""

from tablestakes import Access

ADMIN = Access.of(roles=["admin"])
"""Those who run it."""
