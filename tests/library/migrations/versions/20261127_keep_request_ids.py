"""Keep request ids: the answers to writes that may be repeated.

Revision: d90b27e41f63
After: 98bc12dcd1a2
"""

import sqlalchemy as sa

from alembic import op

revision = "d90b27e41f63"
down_revision = "98bc12dcd1a2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "request_ids",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request_ids")),
    )
    op.create_index(op.f("ix_request_ids_create_time"), "request_ids", ["create_time"])


def downgrade() -> None:
    op.drop_index(op.f("ix_request_ids_create_time"), table_name="request_ids")
    op.drop_table("request_ids")
