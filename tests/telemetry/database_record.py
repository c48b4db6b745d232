"""What a database itself says that it did, asked past everything that is tested."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import asyncpg
from sqlalchemy import make_url

Kind = tuple[str, str]
"""The verb of a statement and the table that it begins with, "" where it names none."""

_KIND = re.compile(
    r"\s*(?:(?P<select>SELECT)\b.*?\bFROM|(?P<verb>INSERT INTO|UPDATE|DELETE FROM))\s+(?P<table>\w+)", re.DOTALL
)
_END = re.compile(r"\s*(BEGIN|COMMIT|ROLLBACK)\b(?! TO\b)(?! IMMEDIATE\b)")


@dataclass
class DatabaseRecord:
    """What was done.

    Attributes:
        statements: How many statements, by kind.
        failures: How many of them failed, by kind and SQLSTATE, where it is known.
        ends: How often BEGIN, COMMIT and ROLLBACK were said.
        rows: How many rows came of the statements, by kind, where it is known.
        texts: All of it as it was said, in its order, where that is known.
        seconds: How long they took by the database's own clock, by kind or by what `ends` has, where it is known.
    """

    statements: Counter[Kind] = field(default_factory=Counter)
    failures: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    rows: Counter[Kind] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)
    seconds: dict[Kind, float] = field(default_factory=dict)

    def add(self, statement: str, *, times: int = 1) -> None:
        """Count a statement by its text, or what begins and ends a transaction."""
        self.texts.append(statement)
        if end := _END.match(statement):
            self.ends[end[1]] += times
        else:
            self.statements[kind(statement)] += times

    def took(self, statement: str, seconds: float) -> None:
        """Add to the time of a kind of statement."""
        end = _END.match(statement)
        key = (end[1], "") if end else kind(statement)
        self.seconds[key] = self.seconds.get(key, 0.0) + seconds


def kind(statement: str) -> Kind:
    """Return what a statement is by its text, which is all that a database has of it."""
    found = _KIND.match(statement)
    if found is None:
        return ("OTHER", "")
    return (found["select"] or found["verb"].split()[0], found["table"])


async def connect(url: str) -> asyncpg.Connection:
    """Connect to a PostgreSQL past SQLAlchemy."""
    return await asyncpg.connect(make_url(url).set(drivername="postgresql").render_as_string())


async def from_statistics(connection: asyncpg.Connection) -> DatabaseRecord:
    """Return what pg_stat_statements has counted in this database: only statements that succeeded.

    It misses repetitions of what is prepared and is no query, such as SAVEPOINT, and has no part of a statement
    that failed.
    """
    told = DatabaseRecord()
    for query, calls, rows in await connection.fetch(
        "SELECT query, calls, rows FROM pg_stat_statements"
        " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND query NOT LIKE '%pg_stat_statements%'"
    ):
        told.add(query, times=calls)
        told.rows[kind(query)] += rows
    return told


# An entry may have many lines: it ends where the next begins.
_ENTRY = re.compile(r"^\d{4}-\d\d-\d\d [^/]*/\d+/(?P<database>\w*)/(?P<code>\w{5})/(?P<level>\w+):  ", re.MULTILINE)
_DURATION = re.compile(
    r"duration: (?P<ms>[\d.]+) ms  (?P<step>parse|bind|execute|statement)[^:]*: (?P<text>.*)", re.DOTALL
)


def from_log(path: Path, database: str, offset: int) -> DatabaseRecord:
    """Return what PostgreSQL has logged of a database, whose log_min_duration_statement is 0.

    Args:
        path: Its log.
        database: The database.
        offset: Bytes of the log to skip.
    """
    told = DatabaseRecord()
    for code, level, text in _entries(path.read_bytes()[offset:].decode(), database):
        if level == "STATEMENT":
            told.failures[(*kind(text), code)] += 1
            told.add(text)
        elif level == "LOG" and (duration := _DURATION.match(text)):
            told.took(duration["text"], float(duration["ms"]) / 1000)
            # What is prepared is parsed, bound and executed, each with a line; the rest is a line.
            if duration["step"] in ("execute", "statement"):
                told.add(duration["text"])
    return told


def _entries(log: str, database: str) -> Iterator[tuple[str, str, str]]:
    heads = list(_ENTRY.finditer(log))
    ends = [*(head.start() for head in heads[1:]), len(log)]
    for head, end in zip(heads, ends, strict=True):
        if head["database"] == database:
            yield head["code"], head["level"], log[head.end() : end]


def from_trace(statements: Iterable[str]) -> DatabaseRecord:
    """Return what SQLite's trace has seen: each statement that began, also one that failed then."""
    told = DatabaseRecord()
    for statement, times in groupby(statements):
        # With an isolation level the dialect sets a pragma, past all events.
        if statement.startswith("PRAGMA"):
            continue
        # What a foreign key does ON DELETE is traced under the text of the DELETE that it is part of, after it.
        told.add(statement, times=1 if statement.startswith("DELETE") else len(list(times)))
    return told
