"""Delete shelves and books softly.

Revision: 5e0a7c31b9f4
After: d90b27e41f63
"""

import sqlalchemy as sa

from alembic import op

revision = "5e0a7c31b9f4"
down_revision = "d90b27e41f63"
branch_labels = None
depends_on = None

UNIQUE = (("shelves", ["theme"]), ("books", ["shelf_id", "title"]))
LIVE = sa.text("delete_time IS NULL")


def upgrade() -> None:
    for table, columns in UNIQUE:
        values = "_".join(columns)
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.add_column(sa.Column("delete_time", sa.DateTime(timezone=True), nullable=True))
            batch_op.add_column(sa.Column("expire_time", sa.DateTime(timezone=True), nullable=True))
            batch_op.drop_constraint(batch_op.f(f"uq_{table}_{values}"), type_="unique")
        op.create_index(op.f(f"ix_{table}_expire_time"), table, ["expire_time"])
        name = op.f(f"ix_{table}_{values}")
        op.create_index(name, table, columns, unique=True, postgresql_where=LIVE, sqlite_where=LIVE)


def downgrade() -> None:
    for table, columns in reversed(UNIQUE):
        op.execute(
            sa.delete(sa.table(table, sa.column("delete_time"))).where(sa.column("delete_time").is_not(None))
        )
        op.drop_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table_name=table)
        op.drop_index(op.f(f"ix_{table}_expire_time"), table_name=table)
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.create_unique_constraint(batch_op.f(f"uq_{table}_{'_'.join(columns)}"), columns)
            batch_op.drop_column("expire_time")
            batch_op.drop_column("delete_time")
