"""What a protocol is: its addresses and models, how it reads calls, and how it words answers.

`Dialect` speaks of predictions. What it says of streams, files and places, where it has them,
stands in a part of its own: `dialect.files.upload(...)`. A subclass overrides what its routes
name; the rest is never called.
"""

from collections.abc import Mapping, Sequence
from typing import NoReturn

from retouch.domain.errors import NotFound, RetouchError
from retouch.domain.prediction import Prediction
from retouch.ports import Cursor, File
from retouch.protocols.base import (
    Answer,
    Call,
    Facts,
    Listing,
    Model,
    Notice,
    Notification,
    Part,
    Place,
    Route,
    ServerEvent,
    Submission,
    Upload,
    View,
)
from retouch.protocols.operation import Description


class StreamDialect:
    """The events of a STREAM, which tells the end, and of a FOLLOW, which tells each change."""

    shows_previews: bool = False  # whether they show a picture being made

    def finale(self, call: Call, view: View) -> Sequence[ServerEvent]:
        """The events of STREAM, for a prediction that is over."""
        _unserved(call)

    def changed(self, call: Call, view: View, before: View | None) -> Sequence[ServerEvent]:
        """The events of FOLLOW for what is new since `before`; None at the start."""
        _unserved(call)

    def interrupted(self, call: Call, view: View) -> Sequence[ServerEvent]:
        """The events of FOLLOW when the server stops before the prediction is over."""
        return ()

    def headers(self, call: Call, prediction: Prediction) -> Mapping[str, str]:
        """Headers of the answer to FOLLOW, whose body is the events."""
        return {}


class FileDialect:
    """Uploads in one call, and what is known of them."""

    limit_bytes: int = 100 * 1024 * 1024  # of one file, also of one sent to a place

    def upload(self, call: Call, parts: Sequence[Part]) -> Upload:
        """Read an UPLOAD; `parts` is empty when the body is not multipart."""
        _unserved(call)

    def claims(self, parts: Sequence[Part]) -> bool:
        """Whether an UPLOAD to an address that an earlier protocol also has is meant for this."""
        return False

    def uploaded(self, call: Call, file: File, link: str) -> Answer:
        """The answer to UPLOAD; the link needs no key."""
        _unserved(call)

    def file(self, call: Call, file: File) -> Answer:
        """The answer to FILE."""
        _unserved(call)

    def listing(self, call: Call) -> Listing:
        """Read a FILES; raises InvalidEdit for a bad cursor or filter."""
        _unserved(call)

    def page(self, call: Call, files: Sequence[File], after: Cursor | None) -> Answer:
        """The answer to FILES; `after` is where the next page starts, None at the end."""
        _unserved(call)

    def deleted(self, call: Call, file: File) -> Answer:
        """The answer to DELETE_FILE."""
        _unserved(call)


class PlaceDialect:
    """Uploads in two steps: a place is reserved, then filled, whole or in parts."""

    def reserve(self, call: Call) -> Upload:
        """Read a RESERVE: an upload whose bytes are still to come."""
        _unserved(call)

    def reserved(self, call: Call, place: Place) -> Answer:
        """The answer to RESERVE."""
        _unserved(call)

    def filled(self, call: Call, file: File) -> Answer:
        """The answer to FILL and COMPLETE."""
        _unserved(call)

    def part(self, call: Call) -> int:
        """The number of the part that a FILL_PART sends, from 1."""
        _unserved(call)

    def part_filled(self, call: Call, number: int, tag: str) -> Answer:
        """The answer to FILL_PART."""
        _unserved(call)

    def parts(self, call: Call) -> Sequence[int]:
        """The parts a COMPLETE joins, in any order; raises InvalidEdit."""
        _unserved(call)


class Dialect:
    """One protocol."""

    name: str
    hosts: frozenset[str] = frozenset()  # the vendor's own names, routed here by Host
    mounts: tuple[str, ...] = ()  # prefixes its routes live under, "" for the root; the best first
    routes: tuple[Route, ...] = ()
    models: tuple[Model, ...] = ()
    description: Description = Description()  # its part of the OpenAPI document
    shows_position: bool = False  # whether its answers tell a place in the queue
    target_header: str = ""  # by which a call names its address, in lower case
    streams: StreamDialect = StreamDialect()
    files: FileDialect = FileDialect()
    places: PlaceDialect = PlaceDialect()

    def prediction_id(self, call: Call) -> str:
        """The prediction of a STATUS, CANCEL or DELETE."""
        return call.params["id"]

    def ticket(self, call: Call) -> str:
        """A prediction's ticket in a STATUS, which opens it without a key; empty for none."""
        return ""

    def target(self, value: str) -> str | None:
        """The path and query of ours that a call means by `target_header`, if it does."""
        return None

    def inlines(self, call: Call, prediction: Prediction) -> bool:
        """Whether the answer about one prediction holds its pictures, not links to them."""
        return False

    def parse(self, call: Call) -> Submission:
        """Read a SUBMIT; raises InvalidEdit, or NotFound for an unknown model."""
        _unserved(call)

    def submitted(self, call: Call, submission: Submission, view: View) -> Answer:
        """The answer to a SUBMIT, after holding it as long as asked."""
        _unserved(call)

    def status(self, call: Call, view: View) -> Answer:
        """The answer to STATUS."""
        _unserved(call)

    def canceled(self, call: Call, view: View, *, won: bool) -> Answer:
        """The answer to CANCEL: the prediction after it, and whether this call ended it."""
        return self.status(call, view)

    def notification(self, call: Call, view: View, notice: Notice) -> Notification:
        """The signed message to a `Submission.webhook`; `call` has origin and mount."""
        raise NotImplementedError  # each protocol has its own

    def listing(self, call: Call) -> Listing:
        """Read a LIST; raises InvalidEdit for a bad cursor or filter."""
        _unserved(call)

    def page(self, call: Call, views: Sequence[View], after: Cursor | None) -> Answer:
        """The answer to LIST; `after` is where the next page starts, None at the end."""
        _unserved(call)

    def erased(self, call: Call, view: View) -> Answer:
        """The answer to DELETE; the prediction as it was before."""
        _unserved(call)

    def prediction_ids(self, call: Call) -> Sequence[str]:
        """The predictions of a DELETE_MANY; raises InvalidEdit."""
        _unserved(call)

    def erased_many(self, call: Call, count: int) -> Answer:
        """The answer to DELETE_MANY: how many this call forgot."""
        _unserved(call)

    def describe(self, topic: str, call: Call, facts: Facts) -> Answer:
        """The answer to DESCRIBE."""
        raise NotFound(topic, call.path)

    def refuse(self, call: Call, error: RetouchError) -> Answer:
        """Any error, in this protocol's shape and words."""
        raise NotImplementedError  # each protocol has its own

    def wrong_method(self, call: Call) -> Answer:
        """The answer to a method an address does not take."""
        raise NotImplementedError  # each protocol has its own


def _unserved(call: Call) -> NoReturn:
    raise NotFound("address", call.path)
