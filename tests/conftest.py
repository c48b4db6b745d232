"""The fixtures of the engine's own test plugin: real databases, and the service running on each of them."""

pytest_plugins = ["tablestakes.testing.plugin"]
