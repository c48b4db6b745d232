"""Settings of a PostgreSQL server that put data or calls at risk, to be told at start."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

# Off, each loses what callers were told is kept, in one kind of crash.
DURABLE = {
    "fsync": "a crash of the machine can lose or corrupt the database",
    "full_page_writes": "a crash of the machine in the middle of a write can corrupt the database",
    "synchronous_commit": "a crash of the server can lose the last acknowledged writes",
}
_QUESTION = text("SELECT name, setting FROM pg_settings WHERE name = ANY (:names)")


@dataclass(frozen=True)
class Risk:
    """A risk.

    Attributes:
        setting: The server's setting.
        value: Its value.
        consequence: What can happen, for people.
    """

    setting: str
    value: str
    consequence: str


def find_risks(connection: Connection) -> list[Risk]:
    """Return the risks of the server of a connection.

    Args:
        connection: A connection.
    """
    found = connection.execute(_QUESTION, {"names": [*DURABLE]}).all()
    values: dict[str, str] = {row.name: row.setting for row in found}
    return [
        Risk(name, values[name], consequence) for name, consequence in DURABLE.items() if values.get(name) == "off"
    ]
