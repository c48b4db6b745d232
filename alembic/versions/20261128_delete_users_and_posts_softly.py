"""Delete users and posts softly: they can be restored for a while, and a deleted user's values be used again.

A server from before this revision shows deleted users and posts as if they were not, and deletes for good.

Revision: 2b9c64e7a1d8
After: 8f3a61d9c0b7
"""

import sqlalchemy as sa

from alembic import op

revision = "2b9c64e7a1d8"
down_revision = "8f3a61d9c0b7"
branch_labels = None
depends_on = None

TABLES = ("users", "posts")
UNIQUE = ("email", "username")
LIVE = sa.text("delete_time IS NULL")
# Deleted rows would be there again, and the values of two users be the same.
PURGE = (
    "DELETE FROM comments WHERE post_id IN (SELECT id FROM posts WHERE delete_time IS NOT NULL)",
    "DELETE FROM post_tags WHERE post_id IN (SELECT id FROM posts WHERE delete_time IS NOT NULL)",
    "DELETE FROM posts WHERE delete_time IS NOT NULL",
    "DELETE FROM addresses WHERE user_id IN (SELECT id FROM users WHERE delete_time IS NOT NULL)",
    "DELETE FROM profiles WHERE user_id IN (SELECT id FROM users WHERE delete_time IS NOT NULL)",
    "DELETE FROM users WHERE delete_time IS NOT NULL",
)


def upgrade() -> None:
    for table in TABLES:
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.add_column(sa.Column("delete_time", sa.DateTime(timezone=True), nullable=True))
            batch_op.add_column(sa.Column("expire_time", sa.DateTime(timezone=True), nullable=True))
        op.create_index(op.f(f"ix_{table}_expire_time"), table, ["expire_time"])
    # The new indexes are there before the constraints are not.
    for column in UNIQUE:
        name = op.f(f"ix_users_{column}")
        op.create_index(name, "users", [column], unique=True, postgresql_where=LIVE, sqlite_where=LIVE)
    op.create_index(op.f("ix_users_username_id"), "users", ["username", "id"])
    with op.batch_alter_table("users", schema=None) as batch_op:
        for column in UNIQUE:
            batch_op.drop_constraint(batch_op.f(f"uq_users_{column}"), type_="unique")


def downgrade() -> None:
    for statement in PURGE:
        op.execute(statement)
    with op.batch_alter_table("users", schema=None) as batch_op:
        for column in UNIQUE:
            batch_op.create_unique_constraint(batch_op.f(f"uq_users_{column}"), [column])
    op.drop_index(op.f("ix_users_username_id"), table_name="users")
    for column in UNIQUE:
        op.drop_index(op.f(f"ix_users_{column}"), table_name="users")
    for table in TABLES:
        op.drop_index(op.f(f"ix_{table}_expire_time"), table_name=table)
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_column("expire_time")
            batch_op.drop_column("delete_time")
