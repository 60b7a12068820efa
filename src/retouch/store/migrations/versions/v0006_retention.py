"""What of a prediction is gone, and what still has something to go."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and their indexes."""
    for kept, more in (("inputs", ""), ("outputs", " AND outputs <> '[]'"), ("record", "")):
        gone: sa.Column[bool] = sa.Column(
            f"{kept}_gone", sa.Boolean(), nullable=False, server_default=sa.false()
        )
        op.add_column("predictions", gone)
        having = sa.text(f"completed_at IS NOT NULL AND NOT {kept}_gone{more}")
        op.create_index(
            f"ix_predictions_{kept}",
            "predictions",
            ["completed_at"],
            sqlite_where=having,
            postgresql_where=having,
        )
