"""Compare tags bytewise: their order is that of their bytes, whatever the database's own collation is.

Revision: 5b1e0c7a94d2
After: 3865cdcdd2e2
"""

import sqlalchemy as sa

from alembic import op

revision = "5b1e0c7a94d2"
down_revision = "3865cdcdd2e2"
branch_labels = None
depends_on = None

KEYS = (("tags", "id"), ("post_tags", "tag_id"))


def upgrade() -> None:
    _collate("C")


def downgrade() -> None:
    _collate("default")


def _collate(collation: str) -> None:
    # SQLite compares bytes already.
    if op.get_context().dialect.name == "postgresql":
        for table, column in KEYS:
            op.alter_column(table, column, type_=sa.String(length=63, collation=collation))
