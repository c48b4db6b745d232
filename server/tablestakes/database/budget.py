"""The connection budget: what all processes of a service may open, beside what the database lets them."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

_QUESTION = text("""
    SELECT pg_backend_pid() AS process, role.rolsuper, role.rolconnlimit, database.datconnlimit,
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0) AS server
    FROM pg_roles AS role, pg_database AS database
    WHERE role.rolname = current_user AND database.datname = current_database()
""")


@dataclass(frozen=True)
class Limit:
    """How many connections a database lets a role open.

    Attributes:
        setting: What sets the limit: `max_connections`, or the `CONNECTION LIMIT` of the role or of the database.
        connections: The limit, for this service and all others.
        pooled: Whether a pooler is in between: then the limit is the pooler's, and its clients have another one.
    """

    setting: str
    connections: int
    pooled: bool = False


@dataclass(frozen=True)
class Budget:
    """The connections of all processes of a service.

    Attributes:
        replicas: The most processes at once.
        each: The most connections of one.
        limit: The database's limit, None where it has none.
    """

    replicas: int
    each: int
    limit: Limit | None

    @property
    def planned(self) -> int:
        """The most connections of all processes."""
        return self.replicas * self.each

    @property
    def exceeds(self) -> str:
        """The consequence of a budget above the limit, in one line; "" where it is not."""
        if self.limit is None or self.limit.pooled or self.planned <= self.limit.connections:
            return ""
        if self.replicas == 1:
            return (
                f"the pool may have {self.planned} connections, and this server has {self.limit.connections}"
                " for it and all others"
            )
        return (
            f"{self.replicas} replicas with {self.each} connections each may have {self.planned}, and this server"
            f" has {self.limit.connections} for them and all others"
        )


def find_limit(connection: Connection) -> Limit:
    """Return the limit of the role and the database of a connection to PostgreSQL."""
    row = connection.execute(_QUESTION).one()
    limits = [Limit("max_connections", row.server)]
    if not row.rolsuper:  # the other limits do not hold for a superuser
        named = (("CONNECTION LIMIT of the role", row.rolconnlimit), ("CONNECTION LIMIT", row.datconnlimit))
        limits += [Limit(name, limit) for name, limit in named if limit >= 0]
    least = min(limits, key=lambda limit: limit.connections)
    driver = connection.connection.driver_connection
    return Limit(least.setting, least.connections, pooled=driver.get_server_pid() != row.process)  # type: ignore[union-attr]
