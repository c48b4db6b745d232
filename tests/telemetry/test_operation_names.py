"""Statements are named by their verb and the first table they name, and never by their values."""

from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import (
    DDL,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    exists,
    func,
    insert,
    lambda_stmt,
    literal,
    select,
    text,
    true,
    union_all,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, joinedload, mapped_column, relationship
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable

from tablestakes.telemetry import instrument
from tablestakes.telemetry.query import operation

Counts = Callable[[], dict[tuple[str, str, str], float]]


class Model(DeclarativeBase):
    """The declarative base of these tests."""


class Author(Model):
    """A model with books."""

    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    books: Mapped[list["Book"]] = relationship()


class Book(Model):
    """A model with an author."""

    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))


authors, books = Model.metadata.tables["authors"], Model.metadata.tables["books"]
recent = select(books).cte("recent")
tree = select(books.c.id).cte("tree", recursive=True)
tree = tree.union_all(select(books.c.id).join(tree, tree.c.id == books.c.author_id))
extra = Table("extra", MetaData(), Column("id", Integer), Column("word", String))
temporary = Table("main_extra", MetaData(), Column("id", Integer), schema="main")


@pytest.mark.parametrize(
    ("statement", "name", "collection"),
    [
        (select(authors), "SELECT", "authors"),
        (select(Author), "SELECT", "authors"),
        (select(Author).options(joinedload(Author.books)).limit(3), "SELECT", "authors"),
        (select(Author).join(Author.books), "SELECT", "authors"),
        (select(aliased(Book)), "SELECT", "books"),
        (select(Book).from_statement(select(books)), "SELECT", "books"),
        (select(Book).from_statement(text("SELECT * FROM books")), "SELECT", "raw"),
        (select(func.count()).select_from(authors), "SELECT", "authors"),
        (select(select(books).subquery()), "SELECT", "books"),
        (select(recent), "SELECT", "books"),
        (select(tree), "SELECT", "books"),
        (union_all(select(books.c.id), select(authors.c.id)), "SELECT", "books"),
        (select(exists(select(books.c.id))), "SELECT", ""),
        (select(literal(1)), "SELECT", ""),
        (select(func.json_each("[1, 2]").table_valued("value")), "SELECT", "json_each"),
        (select(text("1")).select_from(text("books")), "SELECT", "raw"),
        (lambda_stmt(lambda: select(authors)), "SELECT", "authors"),
        (insert(authors).values(id=7), "INSERT", "authors"),
        (insert(books).from_select(["author_id"], select(authors.c.id)), "INSERT", "books"),
        (delete(books).where(books.c.id == 1), "DELETE", "books"),
        (delete(books).add_cte(recent), "DELETE", "books"),
        (CreateTable(extra), "DDL", "extra"),
        (CreateTable(temporary), "DDL", "main.main_extra"),
        (CreateIndex(Index("by_word", extra.c.word)), "DDL", "extra"),
        (DropTable(Table("authors", MetaData())), "DDL", "authors"),
        (DDL("CREATE TABLE other (id INTEGER)"), "DDL", "raw"),  # type: ignore[no-untyped-call]
        (text("  -- why; DELETE\n /* SELECT * */ insert INTO authors VALUES (9)"), "INSERT", "raw"),
        (text("WITH a AS (SELECT 1) SELECT * FROM a"), "OTHER", "raw"),
        (text("SELECT 1 AS n").columns(n=Integer), "SELECT", "raw"),
        (text("create table other (id INTEGER)"), "DDL", "raw"),
        (text("PRAGMA user_version"), "OTHER", "raw"),
    ],
)
def test_a_statement_has_its_name(
    statement: Any, name: str, collection: str, counts: Counts, registry: CollectorRegistry
) -> None:
    """The verb and the table come from the construct; SQL text has its verb, and the table `raw`."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Model.metadata.create_all(engine)
    with engine.begin() as connection:
        if isinstance(statement, CreateIndex):
            connection.execute(CreateTable(extra))
    instrument(engine, registry=registry)
    with Session(engine) as session:
        session.execute(statement)
    engine.dispose()
    assert counts() == {(name, collection, ""): 1}


def test_a_bound_value_never_becomes_a_name(counts: Counts, registry: CollectorRegistry) -> None:
    """Statements that differ only in their values are one series."""
    engine = create_engine("sqlite://")
    instrument(engine, registry=registry)
    with engine.connect() as connection:
        for number in range(20):
            connection.execute(select(literal(number)))
            connection.exec_driver_sql(f"SELECT {number}")
    engine.dispose()
    assert counts() == {("SELECT", "", ""): 20, ("SELECT", "raw", ""): 20}


def test_a_change_inside_of_a_select_names_it() -> None:
    """A SELECT of what a common table expression changes is named as the change: no SELECT changes anything."""
    for change, name in (
        (delete(books).where(books.c.id == 1).returning(books.c.id), "DELETE"),
        (insert(books).values(id=1).returning(books.c.id), "INSERT"),
    ):
        changed = change.cte("changed")
        statement = select(literal(1), changed).select_from(authors.outerjoin(changed, true()))
        compiled = statement.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
        assert operation(compiled, str(compiled)) == (name, "books")
