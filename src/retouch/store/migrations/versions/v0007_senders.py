"""Who is sending each delivery, so that what a dead sender had begun is told apart."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what is being sent right now is nobody's and waits for its lease."""
    sender = sa.Column("sender", sa.Text(), nullable=False, server_default="")
    op.add_column("deliveries", sender)
