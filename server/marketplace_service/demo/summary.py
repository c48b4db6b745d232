"""The things that a demo made, as a table."""

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table

from marketplace_service.demo.client import Client

KINDS = (
    "tags",
    "products",
    "users",
    "profiles",
    "addresses",
    "posts",
    "comments",
    "deposits",
    "orders",
    "transfers",
)


def summary(client: Client, seconds: float) -> Group:
    """Return what was made, what was there already, and how fast that went.

    Args:
        client: The client that made it.
        seconds: How long it took.
    """
    table = Table("", box=SIMPLE)
    for heading in ("made", "already there"):
        table.add_column(heading, justify="right")
    for kind in KINDS:
        table.add_row(kind, str(client.made[kind]), str(client.there[kind]))
    return Group(table, f"{client.calls} calls in {seconds:.1f} s: {client.calls / seconds:.0f} a second")
