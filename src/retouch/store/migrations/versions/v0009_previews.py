"""How many previews an attempt has stored; nothing where there are none."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the index that finds what is to be removed."""
    op.add_column("predictions", sa.Column("previews", sa.Integer(), nullable=True))
    previewed = sa.text("previews IS NOT NULL")
    op.create_index(
        "ix_predictions_previewed",
        "predictions",
        ["completed_at"],
        sqlite_where=previewed,
        postgresql_where=previewed,
    )
