"""What keys permit, and what counting a caller's creates needs."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, the table and the index."""
    op.add_column("keys", sa.Column("grant", sa.Text(), nullable=False, server_default="{}"))
    op.create_table(
        "meters",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("spent_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner", name=op.f("pk_meters")),
        comment="When each owner with a rate has spent what it created so far.",
    )
    unfinished = sa.text("status IN ('queued', 'running')")
    op.create_index(
        "ix_predictions_unfinished",
        "predictions",
        ["owner"],
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )
