"""What makes a create happen once, and when a prediction is cancelled by itself."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and their indexes."""
    op.add_column("predictions", sa.Column("deadline", sa.Double(), nullable=True))
    op.add_column("predictions", sa.Column("once", sa.Text(), nullable=True))
    op.create_index(
        "ix_predictions_once",
        "predictions",
        ["once"],
        unique=True,
        sqlite_where=sa.text("once IS NOT NULL"),
        postgresql_where=sa.text("once IS NOT NULL"),
    )
    limited = sa.text("deadline IS NOT NULL AND status IN ('queued', 'running')")
    op.create_index(
        "ix_predictions_deadline",
        "predictions",
        ["deadline"],
        sqlite_where=limited,
        postgresql_where=limited,
    )
