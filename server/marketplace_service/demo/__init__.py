"""The demo: a client that fills a running server, and knows of it nothing but the contract."""

from marketplace_service.demo.command import run
from marketplace_service.demo.options import DemoError, Options, load, table

__all__ = ["DemoError", "Options", "load", "run", "table"]
