"""The ids in a resource's name."""

from typing import Any

Key = tuple[Any, ...]
"""The ids in a name, as their columns keep them, in the order of the pattern's variables."""

ANY_ID = object()
"""Stands in a Key for `-`, which means any id (AIP-159)."""
