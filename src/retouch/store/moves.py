"""The effect of a move on a prediction, and the move's event. Pure; shared by every store."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from retouch.domain.edit import BlobImage, Edit, ImageSource
from retouch.domain.failure import Failure
from retouch.domain.prediction import (
    ARRIVES,
    ATTEMPTS,
    MAX_CRASHES,
    WORKER_CRASHED,
    WORKER_LOST,
    Cancel,
    Fail,
    Kept,
    Loss,
    Move,
    Prediction,
    Requeue,
    Start,
    Status,
    Succeed,
)
from retouch.ports import Delivery

CREATED = "created"
"""The name of a prediction's first event; the others are named after their move."""

_NAMES: Mapping[Status, str] = {
    Status.RUNNING: "started",
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.CANCELED: "canceled",
    Status.QUEUED: "requeued",
}


def event_of(move: Move, after: Prediction) -> tuple[str, Mapping[str, Any]]:
    """The name and data of the event that records a move; `after` is what the move made."""
    name = _NAMES[after.status]
    match move:
        case Start(worker):
            return name, {"worker": worker, "attempt": after.attempt}
        case Succeed():
            return name, {"outputs": len(after.outputs)}
        case Cancel(by):
            return name, {"by": by}
        case Requeue(reason) if after.status is Status.QUEUED:
            return name, {"reason": reason}
        case _:
            return name, {"error": after.error}


def claimable(held: int | None, crashes: Sequence[int]) -> range:
    """Which of the first in the queue, by their place, a worker may claim.

    `held` is the most crashes of anything it holds, None when it holds nothing. What a worker
    crashed under is run alone, so that a second crash blames nothing else.
    """
    if held or not crashes:
        return range(0)
    if crashes[0]:
        return range(held is None)
    suspects = (place for place, count in enumerate(crashes) if count)
    return range(next(suspects, len(crashes)))


def delivery_of(after: Prediction, at: float) -> Delivery | None:
    """What a move that made `after`, at `at`, has to tell its webhook. Due at once.

    The id follows from the prediction and the state, so a second arrival in the same state (a
    restart after a requeue) finds it taken and is not told again.
    """
    if after.webhook is None or after.status not in after.webhook.tells:
        return None
    return Delivery(
        id=f"{after.id}-{after.status}",
        prediction_id=after.id,
        tells=after.status,
        created_at=at,
        due_at=at,
    )


def moved(prediction: Prediction, move: Move, now: float) -> Prediction:
    """The prediction after a move that may be made, at `now` (UTC seconds)."""
    match move:
        case Start(worker):
            return replace(
                prediction,
                status=Status.RUNNING,
                worker=worker,
                attempt=prediction.attempt + 1,
                started_at=now,
                start_by=None,
            )
        case Requeue(reason):
            prediction = replace(prediction, crashes=prediction.crashes + (reason == "crashed"))
            failure = _given_up(prediction, reason)
            if failure is not None:
                return moved(prediction, Fail(failure), now)
            return replace(
                prediction,
                status=Status.QUEUED,
                worker=None,
                attempt=prediction.attempt - (reason == "interrupted"),
                progress=None,
                started_at=None,
            )
    over = replace(prediction, status=ARRIVES[type(move)], worker=None, completed_at=now)
    match move:
        case Succeed(outputs, metrics, logs):
            return replace(over, outputs=outputs, metrics=metrics, logs=logs)
        case Fail(failure, metrics, logs):
            return replace(over, failure=failure, metrics=metrics, logs=logs)
        case Cancel():
            return over


def _given_up(prediction: Prediction, reason: Literal["interrupted"] | Loss) -> Failure | None:
    """Why a prediction that lost its worker is not tried again, if it is not."""
    if reason == "interrupted":
        return None
    if reason == "crashed" and prediction.crashes >= MAX_CRASHES:
        return WORKER_CRASHED
    return WORKER_LOST if prediction.attempt >= ATTEMPTS[reason] else None


def erased(prediction: Prediction, kept: Kept) -> Prediction:
    """The prediction without the part that is forgotten."""
    match kept:
        case Kept.INPUTS:
            own, edit = f"inputs/{prediction.id}/", prediction.edit
            images = tuple(it for it in edit.images if not _is_own(own, it))
            mask = None if edit.mask and _is_own(own, edit.mask.image) else edit.mask
            fields = {name: _without(own, it) for name, it in prediction.input.items()}
            left = replace(edit, images=images, mask=mask)
            return replace(prediction, input=fields, edit=left)
        case Kept.OUTPUTS:
            return replace(prediction, outputs=(), data_removed=True)
        case Kept.RECORD:
            return replace(
                prediction,
                input={},
                edit=Edit(prompt=""),
                outputs=(),
                logs="",
                failure=None,
                metrics={},
                webhook=None,
                progress=None,
                data_removed=True,
            )


def _is_own(own: str, image: ImageSource) -> bool:
    return isinstance(image, BlobImage) and image.key.startswith(own)


def _without(own: str, value: Any) -> Any:
    """A field without the pictures put aside for it, or spelled out in it."""
    if isinstance(value, list):
        return [_without(own, item) for item in value]
    is_own = isinstance(value, dict) and str(value.get("blob", "")).startswith(own)
    is_inline = isinstance(value, str) and value.startswith("data:")
    return None if is_own or is_inline else value
