"""Our predictions as WaveSpeed's task object, in its envelope."""

from datetime import UTC, datetime
from typing import Any

from retouch.domain.prediction import Prediction, Status
from retouch.protocols.base import NO_STORE, Answer, Call, View
from retouch.protocols.wavespeed.fields import STATUS_WORDS, SYNC_WINDOW_S, TASK_CODES, TaskCode

CANCELED = "The task was canceled."
GONE = "The task's outputs are no longer kept."
SYNC_EXPIRED = (
    f"Sync mode timed out after {SYNC_WINDOW_S:g} seconds. The task is still running: "
    "ask for its result under urls.get."
)


def success(data: Any) -> Answer:
    """The envelope. Its status is 200 and nothing else: a client takes 201 for a failure."""
    body = {"code": 200, "message": "success", "data": data}
    return Answer(status=200, body=body, headers=NO_STORE)


def wants_bytes(it: Prediction) -> bool:
    """Whether its caller asked for base64 text instead of links."""
    return it.input.get("enable_base64_output") is True


def task(call: Call, view: View, *, sync_expired: bool = False) -> dict[str, Any]:
    """The task object. `sync_expired`: the caller waited for its end in vain."""
    it = view.prediction
    code, error = _trouble(it)
    if sync_expired:
        code, error = TaskCode.SYNC_EXPIRED, SYNC_EXPIRED
    outputs = list(view.outputs)
    if wants_bytes(it):  # bare base64, as documented: not the data URIs around it
        outputs = [url.partition(";base64,")[2] or url for url in outputs]
    took_ms = _took_ms(it)
    body = {
        "id": it.id,
        "model": it.model,
        "outputs": outputs,
        "urls": {"get": call.url(f"/predictions/{it.id}/result")},
        # What a check refuses never gets here; of a picture that none looked at nothing is said.
        "has_nsfw_contents": [False for output in it.outputs if output.is_judged],
        "status": "processing" if sync_expired else STATUS_WORDS[it.status],
        "created_at": rfc3339(it.created_at),
        "error": error,
        "timings": {"inference": took_ms},
        "executionTime": took_ms,
    }
    if code is not None:
        body["code"] = code.value
    return body


def _trouble(it: Prediction) -> tuple[TaskCode | None, str]:
    """The task code and the sentence of a task that failed; nothing and no words otherwise."""
    if it.status is Status.CANCELED:
        return TaskCode.FAILED, CANCELED
    if it.status is not Status.FAILED:
        return None, GONE if it.data_removed else ""
    if it.failure is None:
        return TaskCode.FAILED, "The task failed."
    code, error = TASK_CODES.get(it.failure.kind, TaskCode.FAILED), it.failure.error
    # The words by which a client knows that trying again may help.
    return code, f"HTTP 503: {error}" if code is TaskCode.UNAVAILABLE else error


def _took_ms(it: Prediction) -> int:
    if it.started_at is None or it.completed_at is None:
        return 0
    return max(0, round((it.completed_at - it.started_at) * 1000))


def rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
