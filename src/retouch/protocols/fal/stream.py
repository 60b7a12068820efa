"""fal's streams: of a request's states, or of a run's result alone."""

import json
from collections.abc import Mapping, Sequence

from retouch.domain.prediction import Prediction
from retouch.protocols.base import Call, ServerEvent, View
from retouch.protocols.dialect import StreamDialect
from retouch.protocols.fal.errors import headers_of
from retouch.protocols.fal.render import result_answer, status_body


class Streams(StreamDialect):
    """An address with an id tells each state, one without it the result."""

    def changed(self, call: Call, view: View, before: View | None) -> Sequence[ServerEvent]:
        if "id" in call.params:
            return _states(call, view, before)
        if not view.prediction.status.is_final:
            return ()
        return (ServerEvent("", "", json.dumps(result_answer(call, view).body)),)

    def headers(self, call: Call, prediction: Prediction) -> Mapping[str, str]:
        return headers_of(call, prediction.id)


def _states(call: Call, view: View, before: View | None) -> Sequence[ServerEvent]:
    """The state, when it is another; of the log only what is new, since clients add it up."""
    body = status_body(call, view)
    if before is not None:
        earlier = status_body(call, before)
        if body == earlier:
            return ()
        if body["logs"] is not None:
            told = [it["message"] for it in earlier["logs"]]
            body["logs"] = [it for it in body["logs"] if it["message"] not in told]
    return (ServerEvent("", "", json.dumps(body)),)
