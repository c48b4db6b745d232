"""The database's own record of the statements it executed, read without the code under test."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import asyncpg
from sqlalchemy import make_url

Kind = tuple[str, str]
"""The verb of a statement and the first table that it names, "" if it names none."""

# A change that is a part of a SELECT is the statement's kind.
_KIND = re.compile(
    r"\s*(?:WITH changed AS\s+\()?"
    r"(?:(?P<select>SELECT)\b.*?\bFROM|(?P<verb>INSERT INTO|UPDATE|DELETE FROM))\s+(?P<table>\w+)",
    re.DOTALL,
)
_END = re.compile(r"\s*(BEGIN|COMMIT|ROLLBACK)\b(?! TO\b)(?! IMMEDIATE\b)")


@dataclass
class DatabaseRecord:
    """The statements that a database has executed, as far as its source records them.

    Attributes:
        statements: The number of statements by kind.
        failures: The number of failed statements by kind and SQLSTATE.
        ends: The number of BEGIN, COMMIT and ROLLBACK statements.
        rows: The number of rows that the statements returned or changed, by kind.
        texts: The SQL of all of them, in their order.
        seconds: The time they took by the database's own clock, by kind or by the keys of `ends`.
    """

    statements: Counter[Kind] = field(default_factory=Counter)
    failures: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    rows: Counter[Kind] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)
    seconds: dict[Kind, float] = field(default_factory=dict)

    def add(self, statement: str, *, times: int = 1) -> None:
        """Count a statement by its SQL, or a BEGIN, COMMIT or ROLLBACK."""
        self.texts.append(statement)
        if end := _END.match(statement):
            self.ends[end[1]] += times
        else:
            self.statements[kind(statement)] += times

    def add_time(self, statement: str, seconds: float) -> None:
        """Add to the time of a kind of statement."""
        end = _END.match(statement)
        key = (end[1], "") if end else kind(statement)
        self.seconds[key] = self.seconds.get(key, 0.0) + seconds


def kind(statement: str) -> Kind:
    """Return the kind of a statement by its SQL, which is all that a database records."""
    found = _KIND.match(statement)
    if found is None:
        return ("OTHER", "")
    return (found["select"] or found["verb"].split()[0], found["table"])


async def connect(url: str) -> asyncpg.Connection:
    """Connect to PostgreSQL without SQLAlchemy."""
    return await asyncpg.connect(make_url(url).set(drivername="postgresql").render_as_string())


async def from_statistics(connection: asyncpg.Connection) -> DatabaseRecord:
    """Return the counts of pg_stat_statements for this database: it counts only statements that succeeded.

    It counts a prepared statement that is not a query, such as SAVEPOINT, only once, and a failed statement not at
    all.
    """
    record = DatabaseRecord()
    for query, calls, rows in await connection.fetch(
        "SELECT query, calls, rows FROM pg_stat_statements"
        " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND query NOT LIKE '%pg_stat_statements%'"
    ):
        record.add(query, times=calls)
        record.rows[kind(query)] += rows
    return record


# An entry may have several lines: it ends where the next one begins.
_ENTRY = re.compile(r"^\d{4}-\d\d-\d\d [^/]*/\d+/(?P<database>\w*)/(?P<code>\w{5})/(?P<level>\w+):  ", re.MULTILINE)
_DURATION = re.compile(
    r"duration: (?P<ms>[\d.]+) ms  (?P<step>parse|bind|execute|statement)[^:]*: (?P<text>.*)", re.DOTALL
)


def from_log(path: Path, database: str, offset: int) -> DatabaseRecord:
    """Return the statements in the log of PostgreSQL for a database whose log_min_duration_statement is 0.

    Args:
        path: The log file.
        database: The name of the database.
        offset: The number of bytes of the log to skip.
    """
    record = DatabaseRecord()
    for code, level, text in _entries(path.read_bytes()[offset:].decode(), database):
        if level == "STATEMENT":
            record.failures[(*kind(text), code)] += 1
            record.add(text)
        elif level == "LOG" and (duration := _DURATION.match(text)):
            record.add_time(duration["text"], float(duration["ms"]) / 1000)
            # A prepared statement has a line each for parse, bind and execute; any other has one line.
            if duration["step"] in ("execute", "statement"):
                record.add(duration["text"])
    return record


def _entries(log: str, database: str) -> Iterator[tuple[str, str, str]]:
    heads = list(_ENTRY.finditer(log))
    ends = [*(head.start() for head in heads[1:]), len(log)]
    for head, end in zip(heads, ends, strict=True):
        if head["database"] == database:
            yield head["code"], head["level"], log[head.end() : end]


def from_trace(statements: Iterable[str]) -> DatabaseRecord:
    """Return the statements in the trace of SQLite, which has each statement that began, also if it failed."""
    record = DatabaseRecord()
    for statement, times in groupby(statements):
        # With an isolation level the dialect sets a pragma, for which there are no events.
        if statement.startswith("PRAGMA"):
            continue
        # The ON DELETE action of a foreign key is traced after its DELETE, with the text of that DELETE.
        record.add(statement, times=1 if statement.startswith("DELETE") else len(list(times)))
    return record
