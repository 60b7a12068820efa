"""The tables, one definition for SQLite and PostgreSQL.

Every hot query has an index whose size follows what it looks for (what is queued, what runs, one
owner's rows), never the age of the table. JSON is text: `rows` reads and writes it.
"""

import sqlalchemy as sa

from retouch.domain.prediction import Kept

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite numbers rows by itself only under the exact type name INTEGER.
_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# Ids break ties in lists: bytes order on every database, whatever the server's locale.
_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

predictions = sa.Table(
    "predictions",
    metadata,
    sa.Column("seq", _SEQ, primary_key=True),
    sa.Column("id", _ID, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("protocol", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("input", sa.Text, nullable=False),
    sa.Column("edit", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("cost", sa.Double, nullable=False),
    sa.Column("tag", sa.Double, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("worker", sa.Text),
    sa.Column("lease_until", sa.Double),
    sa.Column("step", sa.Integer),
    sa.Column("steps", sa.Integer),
    sa.Column("logs", sa.Text, nullable=False),
    sa.Column("outputs", sa.Text, nullable=False),
    sa.Column("failure", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("failed_picture", sa.Integer),
    sa.Column("metrics", sa.Text, nullable=False),
    sa.Column("started_at", sa.Double),
    sa.Column("completed_at", sa.Double),
    sa.Column("webhook", sa.Text),
    sa.Column("deadline", sa.Double),
    sa.Column("start_by", sa.Double),
    sa.Column("once", sa.Text),
    sa.Column("request", sa.Text),
    sa.Column("trace", sa.Text),
    sa.Column("inputs_gone", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("outputs_gone", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("record_gone", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("crashes", sa.Integer, nullable=False, server_default="0"),
    sa.Column("previews", sa.Integer),
    # How long its parts are kept after its end where it has times of its own; 0 for ever.
    sa.Column("inputs_kept_s", sa.Double),
    sa.Column("outputs_kept_s", sa.Double),
    sa.Column("record_kept_s", sa.Double),
    sa.UniqueConstraint("id"),
    # Room on each page for the beat's update, which touches no indexed column.
    postgresql_with={"fillfactor": 80},
)

# Written out, not bound: a planner matches a partial index only with a constant it can see.
QUEUED = predictions.c.status == sa.literal_column("'queued'")
RUNNING = predictions.c.status == sa.literal_column("'running'")

sa.Index(
    "ix_predictions_queued",
    predictions.c.priority.desc(),
    predictions.c.tag,
    predictions.c.seq,
    sqlite_where=QUEUED,
    postgresql_where=QUEUED,
)
sa.Index(
    "ix_predictions_running",
    predictions.c.worker,
    sqlite_where=RUNNING,
    postgresql_where=RUNNING,
)
sa.Index("ix_predictions_age", predictions.c.created_at, predictions.c.id)
sa.Index(
    "ix_predictions_owner_age",
    predictions.c.owner,
    predictions.c.created_at,
    predictions.c.id,
)
_FINGERPRINTED = predictions.c.fingerprint.is_not(None)
sa.Index(
    "ix_predictions_twin",
    predictions.c.owner,
    predictions.c.fingerprint,
    predictions.c.created_at,
    predictions.c.id,
    sqlite_where=_FINGERPRINTED,
    postgresql_where=_FINGERPRINTED,
)

_ONCE = predictions.c.once.is_not(None)
sa.Index(
    "ix_predictions_once",
    predictions.c.once,
    unique=True,
    sqlite_where=_ONCE,
    postgresql_where=_ONCE,
)
UNFINISHED = predictions.c.status.in_(
    [sa.literal_column("'queued'"), sa.literal_column("'running'")]
)
sa.Index(
    "ix_predictions_unfinished",
    predictions.c.owner,
    sqlite_where=UNFINISHED,
    postgresql_where=UNFINISHED,
)
_LIMITED = sa.and_(predictions.c.deadline.is_not(None), UNFINISHED)
sa.Index(
    "ix_predictions_deadline",
    predictions.c.deadline,
    sqlite_where=_LIMITED,
    postgresql_where=_LIMITED,
)

_IMPATIENT = sa.and_(predictions.c.start_by.is_not(None), QUEUED)
sa.Index(
    "ix_predictions_start_by",
    predictions.c.start_by,
    sqlite_where=_IMPATIENT,
    postgresql_where=_IMPATIENT,
)

OWN_SPAN = {kept: predictions.c[f"{kept}_kept_s"] for kept in Kept}
_HAVING = {
    kept: f"completed_at IS NOT NULL AND NOT {kept}_gone{more}"
    for kept, more in ((Kept.INPUTS, ""), (Kept.OUTPUTS, " AND outputs <> '[]'"), (Kept.RECORD, ""))
}
HAVING = {kept: sa.text(f"{it} AND {kept}_kept_s IS NULL") for kept, it in _HAVING.items()}
"""Which predictions are over and still have something, and no time of their own for it."""

HAVING_OWN = {kept: sa.text(f"{it} AND {kept}_kept_s > 0") for kept, it in _HAVING.items()}
"""The same of those that have one which ends."""

for _kept in Kept:
    sa.Index(
        f"ix_predictions_{_kept}",
        predictions.c.completed_at,
        sqlite_where=HAVING[_kept],
        postgresql_where=HAVING[_kept],
    )
    sa.Index(
        f"ix_predictions_own_{_kept}",
        OWN_SPAN[_kept],
        predictions.c.completed_at,
        sqlite_where=HAVING_OWN[_kept],
        postgresql_where=HAVING_OWN[_kept],
    )

PREVIEWED = predictions.c.previews.is_not(None)
sa.Index(
    "ix_predictions_previewed",
    predictions.c.completed_at,
    sqlite_where=PREVIEWED,
    postgresql_where=PREVIEWED,
)

lanes = sa.Table(
    "lanes",
    metadata,
    sa.Column("priority", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("tag", sa.Double, nullable=False),
    comment="The virtual clock of each priority: the tag most recently claimed.",
)

turns = sa.Table(
    "turns",
    metadata,
    sa.Column("priority", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("tag", sa.Double, nullable=False),
    comment="The tag that each owner's next prediction gets at the earliest.",
)

meters = sa.Table(
    "meters",
    metadata,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("spent_until", sa.Double, nullable=False),
    comment="When each owner with a rate has spent what it created so far.",
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", _SEQ, primary_key=True),
    sa.Column(
        "prediction_id", _ID, sa.ForeignKey("predictions.id", ondelete="CASCADE"), nullable=False
    ),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sa.Index("ix_events_prediction", "prediction_id", "seq"),
    sqlite_autoincrement=True,  # a number is never used twice, even after the last row is deleted
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column(
        "prediction_id", _ID, sa.ForeignKey("predictions.id", ondelete="CASCADE"), nullable=False
    ),
    sa.Column("tells", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("due_at", sa.Double, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("sender", sa.Text, nullable=False, server_default=""),
    sa.Index("ix_deliveries_age", "created_at", "id"),
    sa.Index("ix_deliveries_prediction", "prediction_id"),
)

WAITING = deliveries.c.state == sa.literal_column("'waiting'")

sa.Index(
    "ix_deliveries_due",
    deliveries.c.due_at,
    sqlite_where=WAITING,
    postgresql_where=WAITING,
)

roster = sa.Table(
    "roster",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.Column("figures", sa.Text, nullable=False),
    comment="Which processes are up, and what they measured.",
)

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("prefix", sa.Text, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("revoked_at", sa.Double),
    sa.Column("grant", sa.Text, nullable=False, server_default="{}"),
    sa.UniqueConstraint("prefix"),
)

files = sa.Table(
    "files",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("content_type", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("md5", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Column("metadata", sa.Text, nullable=False),
    sa.Index("ix_files_owner_age", "owner", "created_at", "id"),
    sa.Index("ix_files_expiry", "expires_at", "id"),
)
