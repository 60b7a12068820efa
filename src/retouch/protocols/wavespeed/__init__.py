"""WaveSpeed's HTTP API: its routes, and each verb's function gathered into one value.

A folder instead of a file, its parts named for what a protocol has: `fields` (with the models, the
status words and the task codes), `parse`, `render`, `pages`, `errors`. Written against the official
clients (PyPI 2.0.5 and 0.0.5, npm 0.3.2); where they disagree with the documentation, the clients
win. `docs/wavespeed.md` lists what works.
"""

from collections.abc import Sequence

from retouch.domain.errors import RetouchError
from retouch.domain.prediction import Prediction, Status
from retouch.ports import Cursor
from retouch.protocols.base import (
    Answer,
    Call,
    Dialect,
    Listing,
    Route,
    Submission,
    Verb,
    View,
)
from retouch.protocols.wavespeed.errors import problem, refused
from retouch.protocols.wavespeed.fields import HOSTS, MODELS, NAME
from retouch.protocols.wavespeed.pages import ids_of, listing_of, page_body
from retouch.protocols.wavespeed.parse import UPLOAD_LIMIT_BYTES, submission_of
from retouch.protocols.wavespeed.render import success, task, wants_bytes

MOUNTS = ("/api/v3", "/api/v2", "/wavespeed/api/v3", "/wavespeed/api/v2")
"""The older version is the newer one by another name: the first clients still ask for it."""

ROUTES = (
    Route("GET", "/predictions/{id}/result", Verb.STATUS),
    Route("POST", "/predictions/delete", Verb.CANCEL_MANY),
    Route("GET", "/predictions/{id}", Verb.STATUS),
    Route("DELETE", "/predictions/{id}", Verb.CANCEL),
    Route("POST", "/predictions", Verb.LIST),
    *(Route("POST", f"/{model.name}", Verb.SUBMIT) for model in MODELS),
)


class WaveSpeed(Dialect):
    """The protocol as a value: each verb's function, gathered."""

    name = NAME
    hosts = HOSTS
    mounts = MOUNTS
    routes = ROUTES
    models = MODELS
    upload_limit_bytes = UPLOAD_LIMIT_BYTES

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

    def canceled(self, call: Call, view: View, *, won: bool) -> Answer:
        it = view.prediction
        if not won and it.status is not Status.CANCELED:
            return problem(409, "a task that has ended cannot be deleted yet")
        return success({"id": it.id, "status": "deleted"})

    def prediction_ids(self, call: Call) -> Sequence[str]:
        return ids_of(call)

    def canceled_many(self, call: Call, count: int) -> Answer:
        return success({"deleted_count": count})

    def listing(self, call: Call) -> Listing:
        return listing_of(call)

    def page(self, call: Call, views: Sequence[View], after: Cursor | None) -> Answer:
        return success(page_body(call, views, is_last=after is None))

    def refuse(self, call: Call, error: RetouchError) -> Answer:
        return refused(call, error)

    def wrong_method(self, call: Call) -> Answer:
        return problem(405, f"method {call.method} not allowed")


WAVESPEED = WaveSpeed()
