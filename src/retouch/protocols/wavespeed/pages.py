"""WaveSpeed's history: which page a body asks for, and what a bulk deletion names."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from retouch.domain.errors import InvalidEdit
from retouch.domain.prediction import Prediction
from retouch.ports import Filter
from retouch.protocols.base import Call, Listing, View
from retouch.protocols.schema import faults, known
from retouch.protocols.values import shown
from retouch.protocols.wavespeed.errors import invalid, refuse, violation
from retouch.protocols.wavespeed.fields import DELETE_RULES, LIST_RULES, STATUS_WORDS
from retouch.protocols.wavespeed.parse import body_of
from retouch.protocols.wavespeed.render import task


def listing_of(call: Call) -> Listing:
    """Pages are numbered from 1 and may be narrowed to a model or a status."""
    asked = asked_of(call, LIST_RULES)
    size = int(asked.get("page_size", 10))
    model, status = asked.get("model"), asked.get("status")

    def keep(it: Prediction) -> bool:
        return model in (None, it.model) and status in (None, STATUS_WORDS[it.status])

    where = Filter(
        created_after=moment_of(asked, "created_after"),
        created_before=moment_of(asked, "created_before"),
        intact=True,  # what was deleted is not shown again
    )
    skip = (int(asked.get("page", 1)) - 1) * size
    return Listing(limit=size, skip=skip, where=where, keep=keep if model or status else None)


def page_body(call: Call, views: Sequence[View], *, is_last: bool) -> dict[str, Any]:
    """The page. `total` is exact on the last one, promises one more before it, is absent after."""
    asked = asked_of(call, LIST_RULES)
    items = [task(call, view) for view in views]
    if asked.get("include_inputs"):
        items = [{**it, "input": dict(view.input)} for it, view in zip(items, views, strict=True)]
    skipped = listing_of(call).skip
    page = {"page": int(asked.get("page", 1))}
    if items or not skipped:
        page["total"] = skipped + len(items) + (0 if is_last else 1)
    return {**page, "items": items}


def ids_of(call: Call) -> Sequence[str]:
    """The tasks a bulk deletion names, each once; no database takes a null character for a name."""
    return [id for id in dict.fromkeys(asked_of(call, DELETE_RULES)["ids"]) if "\0" not in id]


def asked_of(call: Call, rules: dict[str, Any]) -> dict[str, Any]:
    """What a body asks for, by its rules; nothing without a body."""
    fields = known(rules, body_of(call) if call.body else {})
    broken = [violation(fault) for fault in faults(rules, fields)]
    if broken:
        raise InvalidEdit(tuple(broken))
    return fields


def moment_of(asked: dict[str, Any], name: str) -> float | None:
    """A time among what is asked for, in seconds since 1970."""
    if not asked.get(name):
        return None
    try:
        moment = datetime.fromisoformat(asked[name])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        refuse(invalid(name, 'must be a time such as "2026-01-05T10:20:30Z"', shown(asked[name])))
