"""Black Forest Labs' HTTP API, in the order every protocol file keeps: fields, status words, parse,
renders, errors, routes.

Written against its clients (PyPI blackforest 0.1.3, npm @ai-sdk/black-forest-labs 1.0.33) and the
vendor's published schema. `docs/bfl.md` lists what works.
"""

from retouch.domain.errors import NotFound, RetouchError
from retouch.protocols.base import (
    NO_STORE,
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
from retouch.protocols.bfl.document import DESCRIPTION
from retouch.protocols.bfl.errors import problem, refuse, refused
from retouch.protocols.bfl.fields import HOSTS, MODELS, NAME, POLL, POLL_ID, UNKNOWN
from retouch.protocols.bfl.parse import submission_of, usage_body
from retouch.protocols.bfl.render import result_body, submitted_body
from retouch.protocols.bfl.webhooks import notification
from retouch.protocols.dialect import Dialect

MOUNTS = ("/bfl/v1", "/bfl", "/v1", "/proxy/bfl")
"""The root's `/v1` must be there: one client drops any other prefix. The last is ComfyUI's."""

ROUTES = (
    *(Route("POST", f"/{model.name}", Verb.SUBMIT) for model in MODELS),
    *(Route("POST", f"/{model.name}/generate", Verb.SUBMIT) for model in MODELS),
    Route("GET", POLL, Verb.STATUS),
    Route("GET", "/credits", Verb.DESCRIBE, "credits"),
    Route("POST", "/licenses/models/{slug}/usage", Verb.DESCRIBE, "usage"),
)


class Bfl(Dialect):
    """The protocol as a value: each verb's function, gathered."""

    name = NAME
    hosts = HOSTS
    mounts = MOUNTS
    routes = ROUTES
    models = MODELS
    description = DESCRIPTION

    def prediction_id(self, call: Call) -> str:
        id = call.query.get(POLL_ID)
        if id is None:
            refuse(POLL_ID, "missing", "Field required")
        if "\0" in id:
            raise NotFound("prediction", id)
        return id

    def ticket(self, call: Call) -> str:
        return call.query.get("ticket", "")

    def parse(self, call: Call) -> Submission:
        path = call.path.removesuffix("/generate")
        return submission_of(call, path.rpartition("/")[2])

    def submitted(self, call: Call, submission: Submission, view: View) -> Answer:
        body = submitted_body(call, view, submission.webhook)
        return Answer(status=200, body=body, headers=NO_STORE)

    def status(self, call: Call, view: View) -> Answer:
        body = result_body(view)
        if body["status"] == UNKNOWN:  # what is no longer kept is as good as never known
            raise NotFound("prediction", view.prediction.id)
        return Answer(status=200, body=body, headers=NO_STORE)

    def notification(self, call: Call, view: View, notice: Notice) -> Notification:
        return notification(view, notice)

    def describe(self, topic: str, call: Call, facts: Facts) -> Answer:
        if topic == "usage":
            return Answer(status=200, body=usage_body(call))
        words = "This server charges nothing and keeps no credits."
        return Answer(status=200, body={"credits": 0.0, "detail": words})

    def refuse(self, call: Call, error: RetouchError) -> Answer:
        return refused(call, error)

    def wrong_method(self, call: Call) -> Answer:
        return problem(405, "Method Not Allowed")


BFL = Bfl()
