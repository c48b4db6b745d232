"""Keep birth dates as dates. A text that is no day of the calendar, such as 1990-02-31, is given up.

A server from before this revision cannot write profiles after it: its field was text.

Revision: c4d27f0b6e19
After: 5b1e0c7a94d2
"""

import sqlalchemy as sa

from alembic import op

revision = "c4d27f0b6e19"
down_revision = "5b1e0c7a94d2"
branch_labels = None
depends_on = None

# As a number and back, a day that the month does not have is one of the next month. SQLite keeps a date as text.
SQLITE = """
UPDATE profiles SET birth_day = birth_date WHERE date(julianday(birth_date)) = birth_date AND birth_date >= '0001'
"""
# PostgreSQL would refuse such a day, so the month's last one is computed before anything is cast.
POSTGRESQL = r"""
UPDATE profiles SET birth_day = CASE
  WHEN substr(birth_date, 9)::int <= extract(
    day FROM (substr(birth_date, 1, 7) || '-01')::date + interval '1 month' - interval '1 day'
  ) THEN birth_date::date
END
WHERE birth_date ~ '^[0-9]{4}-(0[1-9]|1[0-2])-[0-9]{2}$' AND birth_date >= '0001' AND substr(birth_date, 9) >= '01'
"""


def upgrade() -> None:
    with op.batch_alter_table("profiles", schema=None) as batch_op:
        batch_op.add_column(sa.Column("birth_day", sa.Date(), nullable=True))
    op.execute(SQLITE if op.get_context().dialect.name == "sqlite" else POSTGRESQL)
    with op.batch_alter_table("profiles", schema=None) as batch_op:
        batch_op.drop_column("birth_date")
        batch_op.alter_column("birth_day", new_column_name="birth_date")


def downgrade() -> None:
    with op.batch_alter_table("profiles", schema=None) as batch_op:
        batch_op.add_column(sa.Column("birth_text", sa.String(length=10), nullable=False, server_default=""))
    op.execute("UPDATE profiles SET birth_text = CAST(birth_date AS VARCHAR(10)) WHERE birth_date IS NOT NULL")
    with op.batch_alter_table("profiles", schema=None) as batch_op:
        batch_op.drop_column("birth_date")
        batch_op.alter_column("birth_text", new_column_name="birth_date", server_default=None)
