"""Our predictions as fal's queue states, logs and results."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from retouch.domain.ids import as_uuid
from retouch.domain.prediction import Prediction, Status
from retouch.protocols.base import Answer, Call, View
from retouch.protocols.fal.errors import failure, failure_type, flat, headers_of
from retouch.protocols.fal.fields import PREFIX, STATUS_WORDS
from retouch.protocols.fal.parse import model_of, wants_logs


def submitted_answer(call: Call, view: View, *, tells: bool = False) -> Answer:
    """What a submit says, however far the prediction has got since; `tells` for a webhook."""
    it = view.prediction
    body: dict[str, Any] = {
        "status": STATUS_WORDS[Status.QUEUED],
        "request_id": as_uuid(it.id),
        **_urls(call, it),
        "logs": None,
        "metrics": {},
        "queue_position": view.position or 0,
    }
    if tells:
        body["gateway_request_id"] = body["request_id"]
    return Answer(status=200, body=body, headers=headers_of(call, it.id))


def status_answer(call: Call, view: View) -> Answer:
    """202 until it is over: some callers take any 200 for the end."""
    it = view.prediction
    status = 200 if it.status.is_final else 202
    return Answer(status=status, body=status_body(call, view), headers=headers_of(call, it.id))


def status_body(call: Call, view: View) -> dict[str, Any]:
    it = view.prediction
    body: dict[str, Any] = {
        "status": STATUS_WORDS[it.status],
        "request_id": as_uuid(it.id),
        **_urls(call, it),
        "logs": log_entries(it) if wants_logs(call) else None,
        "metrics": {"inference_time": inference_s(it)} if it.status.is_final else {},
    }
    if it.status is Status.QUEUED:
        body["queue_position"] = view.position or 0
    elif it.status is Status.CANCELED:
        body |= {"error": "The request was cancelled", "error_type": failure_type(it)}
    elif it.status is Status.FAILED:
        body |= {"error": it.error or "The request failed", "error_type": failure_type(it)}
    return body


def _urls(call: Call, it: Prediction) -> dict[str, str]:
    # Clients build the same URLs from the first two parts of the model's name, and compare them.
    name = it.model if it.model.startswith(f"{PREFIX}/") else model_of(call)
    alias = "/".join(name.split("/")[:2])
    url = call.url(f"/{alias}/requests/{as_uuid(it.id)}")
    return {"response_url": url, "status_url": f"{url}/status", "cancel_url": f"{url}/cancel"}


def result_answer(call: Call, view: View) -> Answer:
    """The result, the error in its place, or that there is none yet."""
    it = view.prediction
    if it.is_forgotten:
        return flat(call, 404, "The result is no longer kept", id=it.id)
    if it.status is Status.SUCCEEDED:
        headers = headers_of(call, it.id, x_fal_billable_units=str(len(it.outputs)))
        return Answer(status=200, body=result_body(view), headers=headers)
    if it.status.is_final:
        return failure(call, it)
    return flat(call, 400, "Request is still in progress")


def result_body(view: View) -> dict[str, Any]:
    it = view.prediction
    images = [
        {
            "url": url,
            "content_type": output.content_type,
            "file_name": output.key.rpartition("/")[2],
            "file_size": output.size_bytes,
            "width": output.width,
            "height": output.height,
        }
        for url, output in zip(view.outputs, it.outputs, strict=True)
    ]
    return {
        "images": images,
        "timings": {"inference": inference_s(it)},
        "seed": it.edit.seed,
        # What a check refuses never gets here; without one nothing is claimed. Never null: there
        # are clients that refuse an answer for it.
        "has_nsfw_concepts": (
            [False] * len(images) if all(output.is_judged for output in it.outputs) else []
        ),
        "prompt": it.edit.prompt,
    }


def inference_s(it: Prediction) -> float | None:
    """Seconds of work, as the engine measured them or by the clock; None if it never began."""
    if "predict_time" in it.metrics:
        return round(it.metrics["predict_time"], 6)
    if it.started_at is None or it.completed_at is None:
        return None
    return round(max(0.0, it.completed_at - it.started_at), 6)


def log_entries(it: Prediction) -> list[dict[str, str]]:
    """The log so far: a line for each step while it runs, the engine's own lines at the end."""
    if it.status.is_final:
        lines: Sequence[str] = it.logs.splitlines()
    elif it.progress is not None:
        lines = [f"step {n + 1}/{it.progress.steps}" for n in range(it.progress.step)]
    else:
        lines = ()
    at = it.completed_at or it.started_at or it.created_at
    common = {"level": "INFO", "source": "USER", "timestamp": _time(at)}
    return [{"message": line, **common} for line in lines]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
