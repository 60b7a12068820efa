"""Of which kind a failure was, and which picture was at fault."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

KINDS = (
    ("The prompt or an input picture was refused%", "blocked_request"),
    ("The result was refused%", "blocked_result"),
    ("The image URL%", "unfetched"),
    ("The mask URL%", "unfetched"),
    ("The input image%megapixels allowed%", "too_many_pixels"),
    ("The input image%allowed on a side.", "too_many_pixels"),
    ("The input image%allowed.", "too_many_bytes"),
    ("The input image%", "unreadable"),
    ("The mask%megapixels allowed.", "too_many_pixels"),
    ("The mask%allowed on a side.", "too_many_pixels"),
    ("The mask%allowed.", "too_many_bytes"),
    ("The mask%", "unreadable"),
    ("The picture does not fit into%", "out_of_memory"),
    ("The model %", "engine"),
    ("The safety check of pictures failed%", "engine"),
    ("No worker was free to start%", "not_started"),
    ("The worker was lost too often%", "worker_lost"),
    ("The worker crashed%", "worker_crashed"),
    ("The finished picture could not be stored%", "unavailable"),
)
"""How the sentences of each kind read until now: the first that fits. Any other is a fault of
ours."""


def upgrade() -> None:
    """Add the columns, and fill them by the sentences."""
    op.add_column("predictions", sa.Column("failure", sa.Text(), nullable=True))
    op.add_column("predictions", sa.Column("failed_picture", sa.Integer(), nullable=True))
    error = sa.column("error", sa.Text())
    failed = sa.table(
        "predictions", error, sa.column("failure"), sa.column("failed_picture", sa.Integer())
    )
    kind = sa.case(*((error.like(words), name) for words, name in KINDS), else_="internal")
    of_mask = sa.case((error.like("The mask%"), -1))
    op.execute(
        sa.update(failed).where(error.is_not(None)).values(failure=kind, failed_picture=of_mask)
    )
