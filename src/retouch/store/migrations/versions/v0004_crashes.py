"""How many worker processes each prediction took down with it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what was made before has crashed nobody."""
    crashes = sa.Column("crashes", sa.Integer(), nullable=False, server_default="0")
    op.add_column("predictions", crashes)
