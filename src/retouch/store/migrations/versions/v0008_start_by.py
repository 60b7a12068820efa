"""When a prediction that nobody has started gives up waiting."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and its index."""
    op.add_column("predictions", sa.Column("start_by", sa.Double(), nullable=True))
    impatient = sa.text("start_by IS NOT NULL AND status = 'queued'")
    op.create_index(
        "ix_predictions_start_by",
        "predictions",
        ["start_by"],
        sqlite_where=impatient,
        postgresql_where=impatient,
    )
