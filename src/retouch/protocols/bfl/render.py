"""Our predictions as BFL's task objects."""

from typing import Any

from retouch.domain.prediction import Prediction, Status, Webhook
from retouch.protocols.base import Call, View
from retouch.protocols.bfl.fields import MODERATED_WORDS, POLL, POLL_ID, STATUS_WORDS, UNKNOWN


def submitted_body(call: Call, view: View, webhook: Webhook | None = None) -> dict[str, Any]:
    """The answer to a create: clients follow `polling_url` and want it absolute.

    With a webhook the vendor leaves it out and says other things; its clients need it all the same.
    """
    id = view.prediction.id
    told = {"status": "Pending", "webhook_url": webhook.url} if webhook else {}
    return {
        "id": id,
        **told,
        # The ticket lets in who follows the address without a key, as the vendor does.
        "polling_url": call.url(f"{POLL}?{POLL_ID}={id}&ticket={view.ticket}"),
        "cost": 0.0,  # nothing is charged here
        "input_mp": None,
        "output_mp": None,
    }


def result_body(view: View) -> dict[str, Any]:
    """The answer to a poll."""
    it = view.prediction
    status = _word(it)
    body = task_body(it.id, status)
    match status:
        case _ if it.is_forgotten:
            return task_body(it.id)
        case "Ready":
            body["result"] = _result(view)
        case "Pending":
            steps = it.progress and it.progress.steps
            body["progress"] = it.progress.step / steps if it.progress and steps else None
        case "Error":
            body["details"] = {"error": trouble(it)}
        case _:
            body["details"] = {"Moderation Reasons": [it.error]}
    return body


def trouble(it: Prediction) -> str | None:
    """What went wrong, in a sentence; None while nothing has."""
    if it.status is Status.CANCELED:
        return "The prediction was canceled."
    return it.error


def task_body(id: str, status: str = UNKNOWN) -> dict[str, Any]:
    """A task with nothing but its status."""
    empty = dict.fromkeys(("result", "progress", "details", "preview"))
    return {"id": id, "status": status, **empty}


def _word(it: Prediction) -> str:
    word = STATUS_WORDS[it.status]
    return word if it.failure is None else MODERATED_WORDS.get(it.failure.kind, word)


def _result(view: View) -> dict[str, Any]:
    """Numbers are left out when unknown: a null fails a strict client."""
    it = view.prediction
    result: dict[str, Any] = {"sample": view.outputs[0], "prompt": it.edit.prompt}
    said = view.input.get("seed")
    seed = it.edit.seed if not isinstance(said, int) else said
    if seed is not None:
        result["seed"] = seed
    if it.started_at is not None and it.completed_at is not None:
        took = round(max(it.completed_at - it.started_at, 0.0), 6)
        result |= {"start_time": it.started_at, "end_time": it.completed_at, "duration": took}
    return result
