"""Replicate's HTTP API: its routes, and each verb's function gathered into one value.

A folder instead of a file, its parts named for what a protocol has: `fields` (with the models and
the status words), `parse`, `render`, `pages`, `files`, `stream`, `describe`, `errors`. Written
against the official clients (PyPI 1.0.7 and 2.0.0b4, npm 1.4.0); where they disagree with the
documentation, the clients win. `docs/replicate.md` lists what works.
"""

from collections.abc import Sequence

from retouch.domain.errors import RetouchError
from retouch.ports import Cursor
from retouch.protocols.base import (
    NO_STORE,
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
from retouch.protocols.replicate.describe import MARKDOWN, described, readme
from retouch.protocols.replicate.document import DESCRIPTION
from retouch.protocols.replicate.errors import problem, refused
from retouch.protocols.replicate.fields import HOSTS, MODELS, NAME
from retouch.protocols.replicate.files import Files
from retouch.protocols.replicate.pages import listing_of, page_body
from retouch.protocols.replicate.parse import submission_of, wait_of
from retouch.protocols.replicate.render import prediction_body
from retouch.protocols.replicate.stream import Streams
from retouch.protocols.replicate.webhooks import notification

MOUNTS = ("/replicate/v1", "/replicate/v1/v1", "/replicate", "/v1/v1", "/v1", "")
"""Every way a client spells the base URL: with the version, without it, or twice."""

ROUTES = (
    Route("POST", "/predictions", Verb.SUBMIT),
    Route("POST", "/models/{owner}/{name}/predictions", Verb.SUBMIT),
    Route("GET", "/predictions", Verb.LIST),
    Route("GET", "/predictions/{id}", Verb.STATUS),
    Route("GET", "/p/{id}", Verb.STATUS),
    Route("POST", "/predictions/{id}/cancel", Verb.CANCEL),
    Route("GET", "/files/bcwr-{ticket}", Verb.STREAM),
    Route("POST", "/files", Verb.UPLOAD),
    Route("GET", "/files", Verb.FILES),
    Route("GET", "/files/{id}", Verb.FILE),
    Route("DELETE", "/files/{id}", Verb.DELETE_FILE),
    Route("GET", "/files/{id}/download", Verb.DOWNLOAD),
    Route("GET", "/models", Verb.DESCRIBE, "models"),
    Route("QUERY", "/models", Verb.DESCRIBE, "models"),
    Route("GET", "/models/{owner}/{name}", Verb.DESCRIBE, "model"),
    Route("GET", "/models/{owner}/{name}/versions", Verb.DESCRIBE, "versions"),
    Route("GET", "/models/{owner}/{name}/versions/{id}", Verb.DESCRIBE, "version"),
    Route("GET", "/models/{owner}/{name}/examples", Verb.DESCRIBE, "examples"),
    Route("GET", "/models/{owner}/{name}/readme", Verb.DESCRIBE, "readme"),
    Route("GET", "/search", Verb.DESCRIBE, "search"),
    Route("GET", "/account", Verb.DESCRIBE, "account"),
    Route("GET", "/hardware", Verb.DESCRIBE, "hardware"),
    Route("GET", "/webhooks/default/secret", Verb.DESCRIBE, "webhook secret"),
    Route("GET", "/collections", Verb.DESCRIBE, "nothing"),
    Route("GET", "/trainings", Verb.DESCRIBE, "nothing"),
    Route("GET", "/deployments", Verb.DESCRIBE, "nothing"),
)


class Replicate(Dialect):
    """The protocol as a value: each verb's function, gathered."""

    name = NAME
    hosts = HOSTS
    mounts = MOUNTS
    routes = ROUTES
    models = MODELS
    description = DESCRIPTION
    streams = Streams()
    files = Files()

    def parse(self, call: Call) -> Submission:
        return submission_of(call)

    def submitted(self, call: Call, submission: Submission, view: View) -> Answer:
        # Any other word here than `starting` is taken for the end: the client would return null.
        fresh = not view.prediction.status.is_final
        _, applied = wait_of(call)
        headers = {**NO_STORE, "location": call.url(f"/predictions/{view.prediction.id}")}
        if applied:
            headers["preference-applied"] = applied
        status = 202 if applied and fresh else 201
        return Answer(status=status, body=prediction_body(call, view, fresh=fresh), headers=headers)

    def status(self, call: Call, view: View) -> Answer:
        return Answer(status=200, body=prediction_body(call, view), headers=NO_STORE)

    def notification(self, call: Call, view: View, notice: Notice) -> Notification:
        return notification(call, view, notice)

    def listing(self, call: Call) -> Listing:
        return listing_of(call)

    def page(self, call: Call, views: Sequence[View], after: Cursor | None) -> Answer:
        results = [prediction_body(call, view) for view in views]
        return Answer(
            status=200, body=page_body(call, "/predictions", results, after), headers=NO_STORE
        )

    def describe(self, topic: str, call: Call, facts: Facts) -> Answer:
        if topic == "readme":
            return Answer(status=200, body=readme(call, facts), headers=MARKDOWN)
        headers = NO_STORE if topic == "webhook secret" else {}
        return Answer(status=200, body=described(topic, call, facts), headers=headers)

    def refuse(self, call: Call, error: RetouchError) -> Answer:
        return refused(call, error)

    def wrong_method(self, call: Call) -> Answer:
        return problem(405, f'Method "{call.method}" not allowed.')


REPLICATE = Replicate()
