"""WaveSpeed's HTTP API: its routes, and each verb's function gathered into one value.

A folder instead of a file, its parts named for what a protocol has: `fields` (with the models, the
status words and the task codes), `parse`, `render`, `pages`, `files`, `describe`, `errors`. Written
against the official clients (PyPI 2.0.5 and 0.0.5, npm 0.3.2); where they disagree with the
documentation, the clients win. `docs/wavespeed.md` lists what works.
"""

from collections.abc import Sequence

from retouch.domain.errors import RetouchError
from retouch.domain.prediction import Prediction
from retouch.ports import Cursor
from retouch.protocols.base import (
    Answer,
    Call,
    Facts,
    Listing,
    Notice,
    Notification,
    Route,
    Submission,
    Verb,
    View,
)
from retouch.protocols.dialect import Dialect
from retouch.protocols.wavespeed.describe import described
from retouch.protocols.wavespeed.document import DESCRIPTION
from retouch.protocols.wavespeed.errors import problem, refused
from retouch.protocols.wavespeed.fields import HOSTS, MODELS, NAME
from retouch.protocols.wavespeed.files import Files, Places
from retouch.protocols.wavespeed.pages import ids_of, listing_of, page_body
from retouch.protocols.wavespeed.parse import submission_of
from retouch.protocols.wavespeed.render import success, task, wants_bytes
from retouch.protocols.wavespeed.usage import usage_body, usage_of
from retouch.protocols.wavespeed.webhooks import notification

MOUNTS = ("/api/v3", "/api/v2", "/wavespeed/api/v3", "/wavespeed/api/v2")
"""The older version is the newer one by another name: the first clients still ask for it."""

USAGE = "/user/usage_stats"
ROUTES = (
    Route("GET", "/predictions/{id}/result", Verb.STATUS),
    Route("POST", "/predictions/delete", Verb.DELETE_MANY),
    Route("GET", "/predictions/{id}", Verb.STATUS),
    Route("DELETE", "/predictions/{id}", Verb.DELETE),
    Route("POST", "/predictions", Verb.LIST),
    Route("POST", USAGE, Verb.LIST),
    Route("POST", "/media/uploads", Verb.RESERVE),
    Route("PUT", "/media/uploads/{ticket}", Verb.FILL),
    Route("POST", "/media/upload/binary", Verb.UPLOAD),
    Route("GET", "/balance", Verb.DESCRIBE, "balance"),
    Route("GET", "/models", Verb.DESCRIBE, "models"),
    Route("POST", "/model/pricing", Verb.DESCRIBE, "pricing"),
    Route("POST", "/model/price", Verb.DESCRIBE, "price"),
    Route("GET", "/webhook/secret", Verb.DESCRIBE, "webhook secret"),
    *(Route("POST", f"/{model.name}", Verb.SUBMIT) for model in MODELS),
)


class WaveSpeed(Dialect):
    """The protocol as a value: each verb's function, gathered."""

    name = NAME
    hosts = HOSTS
    mounts = MOUNTS
    routes = ROUTES
    models = MODELS
    description = DESCRIPTION
    files = Files()
    places = Places()

    def inlines(self, call: Call, prediction: Prediction) -> bool:
        return wants_bytes(prediction)

    def parse(self, call: Call) -> Submission:
        return submission_of(call)

    def submitted(self, call: Call, submission: Submission, view: View) -> Answer:
        waited = submission.wait_s is not None
        expired = waited and not view.prediction.status.is_final
        return success(task(call, view, sync_expired=expired))

    def status(self, call: Call, view: View) -> Answer:
        return success(task(call, view))

    def notification(self, call: Call, view: View, notice: Notice) -> Notification:
        return notification(call, view, notice)

    def erased(self, call: Call, view: View) -> Answer:
        return success({"id": view.prediction.id, "status": "deleted"})

    def prediction_ids(self, call: Call) -> Sequence[str]:
        return ids_of(call)

    def erased_many(self, call: Call, count: int) -> Answer:
        return success({"deleted_count": count})

    def listing(self, call: Call) -> Listing:
        return usage_of(call) if call.path.endswith(USAGE) else listing_of(call)

    def page(self, call: Call, views: Sequence[View], after: Cursor | None) -> Answer:
        if call.path.endswith(USAGE):
            return success(usage_body(views))
        return success(page_body(call, views, is_last=after is None))

    def describe(self, topic: str, call: Call, facts: Facts) -> Answer:
        return success(described(topic, call, facts))

    def refuse(self, call: Call, error: RetouchError) -> Answer:
        return refused(call, error)

    def wrong_method(self, call: Call) -> Answer:
        return problem(405, f"method {call.method} not allowed")


WAVESPEED = WaveSpeed()
