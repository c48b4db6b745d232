"""Create the library.

Revision: 98bc12dcd1a2
After:
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "98bc12dcd1a2"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "readers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("display_name", sa.String(length=63), nullable=False),
        sa.Column("card", sa.Uuid(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=True),
        sa.Column("updated_by", sa.String(length=255), nullable=True),
        sa.Column("row_version", sa.BigInteger(), server_default="1", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_readers")),
        sa.UniqueConstraint("card", name=op.f("uq_readers_card")),
    )
    op.create_table(
        "shelves",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("theme", sa.String(length=63), nullable=False),
        sa.Column("place", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("size", sa.String(length=40), nullable=True),
        sa.Column("curator_id", sa.Uuid(), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=True),
        sa.Column("updated_by", sa.String(length=255), nullable=True),
        sa.Column("row_version", sa.BigInteger(), server_default="1", nullable=False),
        sa.ForeignKeyConstraint(["curator_id"], ["readers.id"], name=op.f("fk_shelves_curator_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shelves")),
        sa.UniqueConstraint("theme", name=op.f("uq_shelves_theme")),
    )
    op.create_index(op.f("ix_shelves_curator_id"), "shelves", ["curator_id"])
    op.create_table(
        "books",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("shelf_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("authors", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("labels", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("price_currency_code", sa.String(length=3), nullable=True),
        sa.Column("price_units", sa.BigInteger(), nullable=True),
        sa.Column("price_nanos", sa.Integer(), nullable=True),
        sa.Column("publish_date", sa.Date(), nullable=True),
        sa.Column("loan_period", sa.Interval(), nullable=True),
        sa.Column("weight", sa.Numeric(9, 3).with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("cover", sa.LargeBinary(), nullable=False),
        sa.Column("attributes", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("pages", sa.BigInteger(), nullable=False),
        sa.Column("rating", sa.Double(), nullable=False),
        sa.Column("binding", sa.Integer(), nullable=False),
        sa.Column("borrower_id", sa.Uuid(), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=True),
        sa.Column("updated_by", sa.String(length=255), nullable=True),
        sa.Column("row_version", sa.BigInteger(), server_default="1", nullable=False),
        sa.CheckConstraint("pages < 100000", name=op.f("ck_books_pages")),
        sa.ForeignKeyConstraint(["borrower_id"], ["readers.id"], name=op.f("fk_books_borrower_id")),
        sa.ForeignKeyConstraint(["shelf_id"], ["shelves.id"], name=op.f("fk_books_shelf_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_books")),
        sa.UniqueConstraint("shelf_id", "id", name=op.f("uq_books_shelf_id_id")),
        sa.UniqueConstraint("shelf_id", "title", name=op.f("uq_books_shelf_id_title")),
    )
    op.create_index(op.f("ix_books_borrower_id"), "books", ["borrower_id"])
    op.create_table(
        "shelf_keepers",
        sa.Column("shelf_id", sa.Uuid(), nullable=False),
        sa.Column("reader_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["reader_id"], ["readers.id"], name=op.f("fk_shelf_keepers_reader_id")),
        sa.ForeignKeyConstraint(
            ["shelf_id"], ["shelves.id"], name=op.f("fk_shelf_keepers_shelf_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("shelf_id", "reader_id", name=op.f("pk_shelf_keepers")),
    )
    op.create_index(op.f("ix_shelf_keepers_reader_id"), "shelf_keepers", ["reader_id"])
    op.create_table(
        "chapters",
        sa.Column("book_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("heading", sa.String(length=200), nullable=False),
        sa.Column("first_page", sa.BigInteger(), nullable=False),
        sa.Column("topics", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.ForeignKeyConstraint(["book_id"], ["books.id"], name=op.f("fk_chapters_book_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("book_id", "position", name=op.f("pk_chapters")),
    )
    op.create_table(
        "notes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("shelf_id", sa.Uuid(), nullable=False),
        sa.Column("book_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.String(length=1000), nullable=False),
        sa.Column("page", sa.Integer(), nullable=True),
        sa.Column("row_version", sa.BigInteger(), server_default="1", nullable=False),
        sa.ForeignKeyConstraint(
            ["shelf_id", "book_id"], ["books.shelf_id", "books.id"], name=op.f("fk_notes_shelf_id_book_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notes")),
    )
    op.create_index(op.f("ix_notes_shelf_id_book_id_id"), "notes", ["shelf_id", "book_id", "id"])


def downgrade() -> None:
    op.drop_table("notes")
    op.drop_table("chapters")
    op.drop_table("shelf_keepers")
    op.drop_table("books")
    op.drop_table("shelves")
    op.drop_table("readers")
