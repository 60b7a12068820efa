"""The OpenAI Images API, in the order every protocol file keeps: fields, status words, parse,
renders, errors, routes.

Written against its official clients (PyPI openai 3.52.0 and 1.109.1, npm openai 6.49.0). It has
no task to poll: an answer is held until the pictures are done. `docs/openai.md` lists what works.
"""

from retouch.domain.errors import NotFound, RetouchError
from retouch.domain.prediction import Prediction, Status
from retouch.protocols.base import (
    NO_STORE,
    Answer,
    Call,
    Facts,
    Route,
    Submission,
    Verb,
    View,
)
from retouch.protocols.dialect import Dialect
from retouch.protocols.openai.document import DESCRIPTION
from retouch.protocols.openai.errors import failed, problem, refused
from retouch.protocols.openai.fields import HOSTS, LINKED, MODELS, NAME
from retouch.protocols.openai.files import Files
from retouch.protocols.openai.parse import submission_of
from retouch.protocols.openai.render import (
    images_body,
    model_body,
    models_body,
    pending_body,
)
from retouch.protocols.openai.stream import Streams

MOUNTS = ("/openai/v1", "/openai", "/v1", "/proxy/openai")

ROUTES = (
    Route("POST", "/images/generations", Verb.SUBMIT),
    Route("POST", "/images/edits", Verb.SUBMIT),
    Route("POST", "/deployments/{model}/images/generations", Verb.SUBMIT),
    Route("POST", "/deployments/{model}/images/edits", Verb.SUBMIT),
    Route("GET", "/images/{id}", Verb.STATUS),
    Route("POST", "/images/variations", Verb.DESCRIBE, "variations"),
    Route("GET", "/models", Verb.DESCRIBE, "models"),
    Route("GET", "/models/{model}", Verb.DESCRIBE, "model"),
    Route("POST", "/files", Verb.UPLOAD),
    Route("GET", "/files", Verb.FILES),
    Route("GET", "/files/{id}", Verb.FILE),
    Route("DELETE", "/files/{id}", Verb.DELETE_FILE),
    Route("GET", "/files/{id}/content", Verb.DOWNLOAD),
)


class OpenAI(Dialect):
    """The protocol as a value: each verb's function, gathered."""

    name = NAME
    hosts = HOSTS
    mounts = MOUNTS
    routes = ROUTES
    models = MODELS
    description = DESCRIPTION
    streams = Streams()
    files = Files()

    def inlines(self, call: Call, prediction: Prediction) -> bool:
        said = prediction.input
        chosen = call.query.get("response_format") or said.get("response_format")
        if chosen is None and said.get("model") in LINKED:
            chosen = "url"
        # A stream's events have no field for an address.
        return chosen != "url" or (call.method == "POST" and said.get("stream") is True)

    def parse(self, call: Call) -> Submission:
        return submission_of(call)

    def submitted(self, call: Call, submission: Submission, view: View) -> Answer:
        return self._ended(view)

    @staticmethod
    def _ended(view: View) -> Answer:
        if view.prediction.is_forgotten:
            raise NotFound("prediction", view.prediction.id)
        if view.prediction.status is not Status.SUCCEEDED:
            return failed(view.prediction)
        return Answer(status=200, body=images_body(view), headers=NO_STORE)

    def status(self, call: Call, view: View) -> Answer:
        """An address of our own: what a create answers, or how far it is."""
        if not view.prediction.status.is_final:
            return Answer(status=202, body=pending_body(view), headers=NO_STORE)
        return self._ended(view)

    def describe(self, topic: str, call: Call, facts: Facts) -> Answer:
        match topic:
            case "models":
                return Answer(status=200, body=models_body(facts.weights))
            case "model":
                return Answer(status=200, body=model_body(call.params["model"], facts.weights))
            case _:
                raise NotFound(topic, call.path)

    def refuse(self, call: Call, error: RetouchError) -> Answer:
        return refused(call, error)

    def wrong_method(self, call: Call) -> Answer:
        return problem(405, f"Not allowed to {call.method} on {call.path}.", code="wrong_method")


OPENAI = OpenAI()
