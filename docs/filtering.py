"""Writes the table of operators into docs/filtering.md, with the SQL that the engine makes of each example.

    python docs/filtering.py [--check]

With `--check` nothing is written, and the exit code is 1 where the table is not what the engine does.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Dialect, select
from sqlalchemy.dialects import postgresql, sqlite

from marketplace_service.api import RESOURCES
from tablestakes.crud.schema.schema import Schema, compile_schemas
from tablestakes.filter import Filters

DOCUMENT = Path(__file__).with_name("filtering.md")
BEGIN, END = "<!-- operators: written by docs/filtering.py -->", "<!-- operators: end -->"

EXAMPLES = (
    ("`=` equal", "Post", 'title = "Emma"'),
    ("`!=` not equal", "Post", "state != DRAFT"),
    ("`<` `<=` `>` `>=` order", "Product", "price_cents <= 2000"),
    ("order of texts", "Product", 'display_name >= "M"'),
    ("a timestamp", "Post", 'create_time > "2026-01-31T12:00:00-04:00"'),
    ("a text begins with", "Product", 'display_name = "Tea*"'),
    ("a text ends with", "User", 'email = "*@example.com"'),
    ("`:` a text contains", "Post", 'title:"jazz"'),
    ("`:` a list has", "Post", 'tags:"tags/jazz"'),
    ("`:*` there is a value", "Post", "publish_time:*"),
    ("`:*` there is an item", "Order", "items:*"),
    ("a reference", "Post", 'author = "users/7"'),
    ("through a reference", "Post", 'author.username = "ann"'),
    ("through items", "Order", 'items.product = "products/7"'),
    ("through a list of references", "Post", 'tags.display_name = "Jazz"'),
    ("a resource's name", "Comment", 'name = "posts/1/comments/2"'),
    ("`AND`, `OR`", "Post", "state = DRAFT AND author = users/1 OR author = users/2"),
    ("several values", "Order", "state = (PENDING OR PAID)"),
    ("`NOT`, `-`", "Post", 'NOT publish_time > "2026-01-31T12:00:00Z"'),
    ("a word by itself", "Product", "tea"),
    ("a field that is true", "User", "active"),
)


def table() -> str:
    """Return the table in Markdown."""
    schemas = compile_schemas(RESOURCES)
    rows = ["| | Filter | PostgreSQL | SQLite, where it differs |", "|---|---|---|---|"]
    made_postgresql: Any = postgresql.dialect
    made_sqlite: Any = sqlite.dialect
    for meaning, resource, text in EXAMPLES:
        schema = schemas[f"marketplace.v1.{resource}"]
        on_postgresql = _sql(schema, text, made_postgresql(paramstyle="named"))
        on_sqlite = _sql(schema, text, made_sqlite(paramstyle="named"))
        other = "" if on_sqlite == on_postgresql else f"`{on_sqlite}`"
        rows.append(f"| {meaning} | `{text}` | `{on_postgresql}` | {other} |")
    return "\n".join(rows)


def _sql(schema: Schema, text: str, dialect: Dialect) -> str:
    found = Filters(schema).read(text)
    assert found is not None  # noqa: S101 - every example has a term
    sql = str(select(schema.names.id_column).where(found[0].clause).compile(dialect=dialect))
    condition = " ".join(sql.partition("WHERE")[2].split())
    # The driver's own dialect adds the type of each parameter, which says nothing here.
    return re.sub(r"(:filter_\w+)::[A-Z]+(?: WITH TIME ZONE)?", r"\1", condition)


def fresh(document: str) -> str:
    """Return the document with the table of now."""
    before, found, rest = document.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        raise SystemExit(f"{DOCUMENT} has no place for the table")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Run the command, and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on any difference")
    old = DOCUMENT.read_text()
    new = fresh(old)
    if parser.parse_args().check:
        if new != old:
            print("docs/filtering.md is not what filters become: run `make filtering`", file=sys.stderr)
        return int(new != old)
    DOCUMENT.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
