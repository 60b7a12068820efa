"""fal's HTTP API, in the order every protocol file keeps: fields, status words, parse, renders,
errors, routes.

Written against its official clients (PyPI 1.0.3, npm 1.10.1); where they disagree with the
documentation, the clients win. `docs/fal.md` lists what works.
"""

from retouch.domain.errors import RetouchError
from retouch.domain.prediction import Prediction
from retouch.protocols.base import (
    Answer,
    Call,
    Facts,
    Notice,
    Notification,
    Route,
    Submission,
    Verb,
    View,
)
from retouch.protocols.dialect import Dialect
from retouch.protocols.fal.document import DESCRIPTION
from retouch.protocols.fal.errors import KINDS, flat, headers_of, refused
from retouch.protocols.fal.fields import (
    HOSTS,
    MODELS,
    NAME,
    PAYLOADS,
    PREFIX,
    PROXY,
    REQUEST,
    SENDING,
)
from retouch.protocols.fal.parse import id_of, is_run, submission_of, target_of
from retouch.protocols.fal.render import (
    result_answer,
    status_answer,
    submitted_answer,
)
from retouch.protocols.fal.storage import Files, Places, token_body
from retouch.protocols.fal.stream import Streams
from retouch.protocols.fal.webhooks import KEYS_MAX_AGE_S, key_set, notification

MOUNTS = ("/queue", "/run", "/rest", "/cdn", "")
"""One prefix for each of the vendor's host names; without one, the queue is meant."""

ROUTES = (
    Route("GET", f"{REQUEST}/status", Verb.STATUS),
    Route("GET", f"{REQUEST}/status/stream", Verb.FOLLOW),
    Route("PUT", f"{REQUEST}/cancel", Verb.CANCEL),
    Route("GET", REQUEST, Verb.STATUS, "result"),
    *(Route("DELETE", f"{version}{PAYLOADS}", Verb.DELETE) for version in ("", "/v1")),
    *(Route("POST", f"/{model.name}", Verb.SUBMIT) for model in MODELS),
    Route("POST", f"/{PREFIX}/{{name:path}}", Verb.SUBMIT),
    Route("POST", "/storage/upload/initiate", Verb.RESERVE),
    Route("POST", "/storage/upload/initiate-multipart", Verb.RESERVE),
    Route("PUT", "/storage/upload/{ticket}", Verb.FILL),
    Route("POST", "/storage/upload/{ticket}/complete", Verb.COMPLETE),
    Route("PUT", "/storage/upload/{ticket}/{part}", Verb.FILL_PART),
    Route("POST", "/storage/auth/token", Verb.DESCRIBE, "token"),
    Route("POST", "/files/upload", Verb.UPLOAD),
    Route("POST", "/files/upload/multipart", Verb.RESERVE),
    Route("POST", f"{SENDING}/complete", Verb.COMPLETE),
    Route("PUT", f"{SENDING}/{{part}}", Verb.FILL_PART),
    Route("GET", "/errors", Verb.DESCRIBE, "errors"),
    Route("GET", "/.well-known/jwks.json", Verb.DESCRIBE, "keys", is_open=True),
    *(Route(method, PROXY, Verb.DESCRIBE, "proxy") for method in ("GET", "POST", "PUT")),
)


class Fal(Dialect):
    """The protocol as a value: each verb's function, gathered."""

    name = NAME
    hosts = HOSTS
    mounts = MOUNTS
    routes = ROUTES
    models = MODELS
    description = DESCRIPTION
    shows_position = True
    target_header = "x-fal-target-url"
    streams = Streams()
    files = Files()
    places = Places()

    def prediction_id(self, call: Call) -> str:
        return id_of(call)

    def parse(self, call: Call) -> Submission:
        return submission_of(call)

    def inlines(self, call: Call, prediction: Prediction) -> bool:
        asked = prediction.protocol == NAME and prediction.input.get("sync_mode") is True
        return asked and "/status" not in call.path.rpartition("/requests/")[2]

    def submitted(self, call: Call, submission: Submission, view: View) -> Answer:
        if not is_run(call):
            return submitted_answer(call, view, tells=submission.webhook is not None)
        if view.prediction.status.is_final:
            return result_answer(call, view)
        words = "The server stopped waiting; the request goes on, ask the queue for its result"
        return flat(call, 500, words, "internal_error", id=view.prediction.id)

    def status(self, call: Call, view: View) -> Answer:
        answer = status_answer if call.path.endswith("/status") else result_answer
        return answer(call, view)

    def notification(self, call: Call, view: View, notice: Notice) -> Notification:
        return notification(call, view, notice)

    def canceled(self, call: Call, view: View, *, won: bool) -> Answer:
        word = "CANCELLATION_REQUESTED" if won else "ALREADY_COMPLETED"
        headers = headers_of(call, view.prediction.id)
        return Answer(status=202 if won else 400, body={"status": word}, headers=headers)

    def erased(self, call: Call, view: View) -> Answer:
        gone = [{"link": link, "exception": None} for link in view.outputs]
        headers = headers_of(call, view.prediction.id)
        return Answer(status=200, body={"cdn_delete_results": gone}, headers=headers)

    def target(self, value: str) -> str | None:
        return target_of(value)

    def describe(self, topic: str, call: Call, facts: Facts) -> Answer:
        if topic == "proxy":
            return flat(call, 400, "Invalid request")
        if topic == "keys":
            headers = {**headers_of(call), "cache-control": f"public, max-age={KEYS_MAX_AGE_S}"}
            return Answer(status=200, body=key_set(facts.public_keys), headers=headers)
        body = token_body(call) if topic == "token" else KINDS
        return Answer(status=200, body=dict(body), headers=headers_of(call))

    def refuse(self, call: Call, error: RetouchError) -> Answer:
        return refused(call, error)

    def wrong_method(self, call: Call) -> Answer:
        return flat(call, 405, "Method Not Allowed")


FAL = Fal()
