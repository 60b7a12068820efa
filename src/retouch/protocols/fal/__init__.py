"""fal's HTTP API, in the order every protocol file keeps: fields, status words, parse, renders,
errors, routes.

Written against its official clients (PyPI 1.0.3, npm 1.10.1); where they disagree with the
documentation, the clients win. `docs/fal.md` lists what works.
"""

from retouch.domain.errors import RetouchError
from retouch.domain.prediction import Prediction
from retouch.protocols.base import Answer, Call, Dialect, Facts, Route, Submission, Verb, View
from retouch.protocols.fal.errors import KINDS, flat, headers_of, refused
from retouch.protocols.fal.fields import HOSTS, MODELS, NAME, PREFIX
from retouch.protocols.fal.parse import id_of, is_run, submission_of
from retouch.protocols.fal.render import result_answer, status_answer, submitted_answer

MOUNTS = ("/queue", "/run", "/rest", "/cdn", "")
"""One prefix for each of the vendor's host names; without one, the queue is meant."""

REQUEST = f"/{PREFIX}/{{name:path}}/requests/{{id}}"

ROUTES = (
    Route("GET", f"{REQUEST}/status", Verb.STATUS),
    Route("PUT", f"{REQUEST}/cancel", Verb.CANCEL),
    Route("GET", REQUEST, Verb.STATUS, "result"),
    *(Route("POST", f"/{model.name}", Verb.SUBMIT) for model in MODELS),
    Route("POST", f"/{PREFIX}/{{name:path}}", Verb.SUBMIT),
    Route("GET", "/errors", Verb.DESCRIBE, "errors"),
)


class Fal(Dialect):
    """The protocol as a value: each verb's function, gathered."""

    name = NAME
    hosts = HOSTS
    mounts = MOUNTS
    routes = ROUTES
    models = MODELS
    shows_position = True

    def prediction_id(self, call: Call) -> str:
        return id_of(call)

    def parse(self, call: Call) -> Submission:
        return submission_of(call)

    def inlines(self, call: Call, prediction: Prediction) -> bool:
        asked = prediction.protocol == NAME and prediction.input.get("sync_mode") is True
        return asked and not call.path.endswith("/status")

    def submitted(self, call: Call, submission: Submission, view: View) -> Answer:
        if not is_run(call):
            return submitted_answer(call, view)
        if view.prediction.status.is_final:
            return result_answer(call, view)
        words = "The server stopped waiting; the request goes on, ask the queue for its result"
        return flat(call, 500, words, "internal_error", id=view.prediction.id)

    def status(self, call: Call, view: View) -> Answer:
        answer = status_answer if call.path.endswith("/status") else result_answer
        return answer(call, view)

    def canceled(self, call: Call, view: View, *, won: bool) -> Answer:
        word = "CANCELLATION_REQUESTED" if won else "ALREADY_COMPLETED"
        headers = headers_of(call, view.prediction.id)
        return Answer(status=202 if won else 400, body={"status": word}, headers=headers)

    def describe(self, topic: str, call: Call, facts: Facts) -> Answer:
        return Answer(status=200, body=dict(KINDS), headers=headers_of(call))

    def refuse(self, call: Call, error: RetouchError) -> Answer:
        return refused(call, error)

    def wrong_method(self, call: Call) -> Answer:
        return flat(call, 405, "Method Not Allowed")


FAL = Fal()
