"""The labels that every metric of an engine has: which database it is, and which pool."""

from typing import NamedTuple

from sqlalchemy.engine import Engine

LABELS = ("db_system_name", "db_client_connection_pool_name", "db_namespace", "server_address", "server_port")
"""The names of the labels. They are OpenTelemetry's attributes, with underscores as Prometheus has them."""


class Identity(NamedTuple):
    """The values of `LABELS` for one engine.

    They never change, so they cost a scrape some bytes and a statement nothing. A label that does not apply is
    empty, which Prometheus treats like a label that is absent.

    Attributes:
        system: The database system, such as `postgresql`.
        pool: The name of the pool.
        namespace: The name of the database, "" if it is a file: its path is no namespace.
        address: The server's host, "" for a file.
        port: The server's port, "" if the URL has none: then it is the default port of the system.
    """

    system: str
    pool: str
    namespace: str = ""
    address: str = ""
    port: str = ""


def identity_of(engine: Engine, pool_name: str = "default") -> Identity:
    """Return the identity of an engine, as its URL says it.

    Args:
        engine: The engine.
        pool_name: `db_client_connection_pool_name`.
    """
    url = engine.url
    # PostgreSQL's drivers also take the host, and the directory of a Unix socket, from the URL's query.
    host = url.host or url.query.get("host")
    if not host or not isinstance(host, str):
        return Identity(engine.dialect.name, pool_name)
    return Identity(engine.dialect.name, pool_name, url.database or "", host, str(url.port or ""))
