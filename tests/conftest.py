"""The fixtures of the engine's own test plugin: real databases, and the service running on each of them."""

from tablestakes.testing.serving import DATABASES

__all__ = ["DATABASES"]

pytest_plugins = ["tablestakes.testing.plugin"]
