"""How long a prediction's parts are kept, where that is its own."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and their indexes, and leave such rows out of the indexes there are."""
    for kept, more in (("inputs", ""), ("outputs", " AND outputs <> '[]'"), ("record", "")):
        span = f"{kept}_kept_s"
        op.add_column("predictions", sa.Column(span, sa.Double(), nullable=True))
        having = f"completed_at IS NOT NULL AND NOT {kept}_gone{more}"
        op.drop_index(f"ix_predictions_{kept}", "predictions")
        _index(f"ix_predictions_{kept}", ["completed_at"], f"{having} AND {span} IS NULL")
        _index(f"ix_predictions_own_{kept}", [span, "completed_at"], f"{having} AND {span} > 0")


def _index(name: str, columns: list[str], where: str) -> None:
    rows = sa.text(where)
    op.create_index(name, "predictions", columns, sqlite_where=rows, postgresql_where=rows)
