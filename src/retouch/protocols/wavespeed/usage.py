"""What WaveSpeed tells of a caller's use: its tasks by model and by day. All of it is free."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from retouch.domain.prediction import Prediction
from retouch.ports import Filter
from retouch.protocols.base import Call, Listing, View
from retouch.protocols.values import shown
from retouch.protocols.wavespeed.errors import invalid, refuse
from retouch.protocols.wavespeed.fields import USAGE_RULES
from retouch.protocols.wavespeed.pages import asked_of, moment_of

MOST_TASKS = 5000  # one answer counts no more
MAX_DAYS = 31


def usage_of(call: Call) -> Listing:
    """The tasks of a span, and of one model if it is named."""
    asked = asked_of(call, USAGE_RULES)
    start, end = (moment_of(asked, name) for name in ("start_time", "end_time"))
    if start is None or end is None or not 0 <= end - start <= MAX_DAYS * 86_400:
        rule = f"must be at most {MAX_DAYS} days after start_time"
        refuse(invalid("end_time", rule, shown(asked.get("end_time"))))
    model = asked.get("model_uuid")

    def keep(it: Prediction) -> bool:
        return it.model == model

    where = Filter(created_after=start, created_before=end)
    return Listing(limit=MOST_TASKS, where=where, keep=keep if model else None)


def usage_body(views: Sequence[View]) -> dict[str, Any]:
    made = [view.prediction for view in views]
    days = (datetime.fromtimestamp(it.created_at, UTC).date().isoformat() for it in made)
    return {
        "per_model_usage": [
            {"model_uuid": name, "count": count, "amount": 0}
            for name, count in _counted(it.model for it in made)
        ],
        "daily_usage": [
            {"date": day, "count": count, "amount": 0} for day, count in _counted(days)
        ],
        "summary": {"count": len(made), "amount": 0},
    }


def _counted(names: Iterable[str]) -> list[tuple[str, int]]:
    return sorted(Counter(names).items())
