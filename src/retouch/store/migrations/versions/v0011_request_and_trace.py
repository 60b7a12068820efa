"""Which HTTP request made a prediction, and its place in a trace."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("predictions", sa.Column("request", sa.Text(), nullable=True))
    op.add_column("predictions", sa.Column("trace", sa.Text(), nullable=True))
