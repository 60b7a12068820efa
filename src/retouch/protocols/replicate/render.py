"""Our predictions as Replicate's objects."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from retouch.domain.failure import BLOCKED
from retouch.domain.prediction import Prediction, Status
from retouch.protocols.base import Call, View
from retouch.protocols.replicate.fields import HIDDEN, STATUS_WORDS

FLAGGED = (
    "The input or output was flagged as sensitive. Please try again with different inputs. (E005)"
)
"""What clients know a refusal by a safety check by."""


def prediction_body(call: Call, view: View, *, fresh: bool = False) -> dict[str, Any]:
    """The prediction object. `fresh`: as just created, whatever happened since."""
    it = view.prediction
    body: dict[str, Any] = {
        "id": it.id,
        "model": it.model,
        "version": HIDDEN,
        "input": dict(sorted(view.input.items())),
        "logs": "" if fresh else _logs(it),
        "output": _output(view),
        "data_removed": it.data_removed,
        "error": _error(it),
        "status": "starting" if fresh else STATUS_WORDS[it.status],
        "created_at": rfc3339(it.created_at, "milliseconds"),
    }
    if it.deadline is not None:
        body["deadline"] = rfc3339(it.deadline, "milliseconds")
    if not fresh:
        body["started_at"] = it.started_at and rfc3339(it.started_at)
        body["completed_at"] = it.completed_at and rfc3339(it.completed_at)
    if it.status.is_final:
        body["metrics"] = _metrics(it)
    body["urls"] = {
        "cancel": call.url(f"/predictions/{it.id}/cancel"),
        "get": call.url(f"/predictions/{it.id}"),
        # npm's client makes file objects only of streams under exactly this path.
        "stream": f"{call.origin}/v1/files/bcwr-{view.ticket}",
        "web": f"{call.origin}/p/{it.id}",
    }
    return body


def _output(view: View) -> str | list[str] | None:
    """One link, as every model of ours here makes; several only of another protocol's making."""
    if len(view.outputs) > 1:
        return list(view.outputs)
    return view.outputs[0] if view.outputs else None


def _logs(it: Prediction) -> str:
    """The log, opened by the seed and closed by the progress line clients look for."""
    if it.status is Status.QUEUED:
        return it.logs
    lines = it.logs.splitlines()
    if it.edit.seed is not None and not any(line.startswith("Using seed:") for line in lines):
        lines.insert(0, f"Using seed: {it.edit.seed}")
    if it.progress and not any("%|" in line for line in lines):
        done, steps = it.progress.step, it.progress.steps
        bar = ("#" * (done * 10 // max(steps, 1))).ljust(10)
        lines.append(f"{done * 100 // max(steps, 1):3d}%|{bar}| {done}/{steps}")
    return "".join(f"{line}\n" for line in lines)


def _error(it: Prediction) -> str | None:
    is_blocked = it.failure is not None and it.failure.kind in BLOCKED
    return FLAGGED if is_blocked else it.error


def _metrics(it: Prediction) -> dict[str, float]:
    end = it.completed_at or it.created_at
    took = {"predict_time": end - (it.started_at or end), "total_time": end - it.created_at}
    return {**{name: round(max(value, 0), 6) for name, value in took.items()}, **it.metrics}


@lru_cache(maxsize=1024)  # who polls sees the same times again and again
def rfc3339(seconds: float, precision: str = "microseconds") -> str:
    """A time as the API writes it, always in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=precision)[:-6] + "Z"
