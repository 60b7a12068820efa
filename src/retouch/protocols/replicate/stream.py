"""Replicate's stream of a prediction's end: each picture, or the error, then that it is done."""

import json
from collections.abc import Sequence

from retouch.domain.prediction import Status
from retouch.protocols.base import Call, ServerEvent, View
from retouch.protocols.dialect import StreamDialect


class Streams(StreamDialect):
    """Ids are the end's second and a number, by which a client goes on where it was cut off."""

    def finale(self, call: Call, view: View) -> Sequence[ServerEvent]:
        at = int(view.prediction.completed_at or view.prediction.created_at)
        events = [("output", url) for url in view.outputs]
        end: dict[str, str] = {}
        if view.prediction.status is Status.FAILED:
            events = [("error", json.dumps({"detail": view.prediction.error}))]
            end = {"reason": "error"}
        elif view.prediction.status is Status.CANCELED:
            end = {"reason": "canceled"}
        events.append(("done", json.dumps(end)))
        return [ServerEvent(name, f"{at}:{n}", data) for n, (name, data) in enumerate(events)]
