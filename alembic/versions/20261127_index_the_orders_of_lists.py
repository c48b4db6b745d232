"""Index the orders that callers of List are told of; the texts among them are compared bytewise.

Revision: 8f3a61d02c57
After: c4d27f0b6e19
"""

import sqlalchemy as sa

from alembic import op

revision = "8f3a61d02c57"
down_revision = "c4d27f0b6e19"
branch_labels = None
depends_on = None

TEXTS = (("products", "category", 63), ("users", "username", 30))
INDEXES = (
    ("products", ["category", "price_cents", "id"]),
    ("products", ["price_cents", "id"]),
    ("posts", ["publish_time", "id"]),
)


def upgrade() -> None:
    _collate("C")
    for table, columns in INDEXES:
        op.create_index(_name(table, columns), table, columns)


def downgrade() -> None:
    for table, columns in reversed(INDEXES):
        op.drop_index(_name(table, columns), table_name=table)
    _collate("default")


def _name(table: str, columns: list[str]) -> str:
    return op.f(f"ix_{table}_{'_'.join(columns)}")


def _collate(collation: str) -> None:
    # SQLite compares bytes already.
    if op.get_context().dialect.name == "postgresql":
        for table, column, length in TEXTS:
            op.alter_column(table, column, type_=sa.String(length=length, collation=collation))
