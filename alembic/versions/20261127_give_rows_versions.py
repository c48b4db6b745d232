"""Give rows a version, which etags are made of.

A server from before this revision goes on reading and writing, but does not count versions: until the last of them
is replaced, an etag does not tell of their changes.

Revision: 7f3a9be2c615
After: 8f3a61d02c57
"""

import sqlalchemy as sa

from alembic import op

revision = "7f3a9be2c615"
down_revision = "8f3a61d02c57"
branch_labels = None
depends_on = None

TABLES = ("addresses", "comments", "orders", "posts", "products", "profiles", "tags", "users", "wallets")


def upgrade() -> None:
    # A constant default rewrites no table, and is the version of every row that is there.
    for table in TABLES:
        op.add_column(table, sa.Column("row_version", sa.BigInteger(), server_default="1", nullable=False))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "row_version")
