"""The vocabulary a protocol is written in; `dialect` says what a protocol is.

A protocol is a value without I/O, clock or `async`: it says which addresses it has and what each
one *means* (a verb), reads a call into our words, and writes our words as its own answers. The
web floor drives all of them with one set of handlers that know verbs and no vendor.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from retouch.domain.edit import Edit
from retouch.domain.errors import Busy, InvalidEdit, Throttled, Violation
from retouch.domain.prediction import Prediction, Webhook
from retouch.ports import Cursor, Filter

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Verb(StrEnum):
    """The operation of an address. Handlers exist for these and for nothing else."""

    SUBMIT = "submit"  # a new prediction; may hold the answer until it is done
    STATUS = "status"  # one prediction
    LIST = "list"  # the caller's predictions, by pages
    CANCEL = "cancel"
    DELETE = "delete"  # end a prediction if need be, and forget it
    DELETE_MANY = "delete_many"
    STREAM = "stream"  # server-sent events, opened by ticket instead of a key
    FOLLOW = "follow"  # server-sent events of each change, for callers with a key
    UPLOAD = "upload"
    FILE = "file"  # what is known of an upload
    FILES = "files"
    DELETE_FILE = "delete_file"
    DOWNLOAD = "download"  # an upload's bytes
    RESERVE = "reserve"  # a place for an upload that is still to come
    FILL = "fill"  # a place's bytes; its ticket is the permission, here and below
    FILL_PART = "fill_part"
    COMPLETE = "complete"  # all parts are there
    DESCRIBE = "describe"  # an answer from the catalogue alone; `Route.topic` says of what


OPEN_VERBS = frozenset({Verb.STREAM, Verb.FILL, Verb.FILL_PART, Verb.COMPLETE})
"""Verbs whose address carries its own permission: no key is asked for."""


@dataclass(frozen=True, slots=True)
class Route:
    """One address of a protocol, relative to its mounts: `/predictions/{id}` means STATUS."""

    method: str
    path: str
    verb: Verb
    topic: str = ""
    is_open: bool = False  # answered without a key: for a DESCRIBE of what is public


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request as a protocol sees it. Header names are lower case, `params` come from the path.

    A SUBMIT's multipart body is in `parts`, and `body` is empty then. `origin` is scheme and host
    as the caller spelled them, `mount` the prefix it came in under. `query_text` is the query
    before it was taken apart. `request_id` is what our log calls this request.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    query_text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    parts: tuple["Part", ...] = ()
    origin: str = "http://localhost"
    mount: str = ""
    request_id: str = ""

    def url(self, path: str) -> str:
        """An absolute URL under the mount the caller used."""
        return f"{self.origin}{self.mount}{path}"

    def json(self) -> Any:
        """The body as JSON; raises InvalidEdit when it is none."""
        try:
            # Some editors begin every file with this mark, and files are what curl sends.
            return msgspec.json.decode(self.body.removeprefix(BYTE_ORDER_MARK))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            rule = Violation("", "invalid_json", "The request body is not valid JSON")
            raise InvalidEdit((rule,)) from None


NO_STORE = {"cache-control": "no-store"}
"""The header of answers that change."""


def retry_after(error: Busy | Throttled) -> int:
    """The `Retry-After` of a refusal: whole seconds, at least one."""
    return max(1, math.ceil(error.retry_after_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response: `body` is JSON-able, or bytes sent as they are, or None for no body."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A create request understood: what to make, what to echo, how long to hold the answer.

    In `input`, an `InlineImage` stands for a value too long to echo; it comes back as a link.
    """

    model: str
    input: Mapping[str, Any]
    edit: Edit
    wait_s: float | None = None
    is_retry: bool = False  # the client says it sent this before
    streams: bool = False  # the answer is a stream of events, as of FOLLOW
    webhook: Webhook | None = None
    cancel_after_s: float | None = None  # counted from its creation
    start_within_s: float | None = None  # fail it when nobody has started it by then
    priority: int = 0  # higher is claimed sooner; callers may only wait longer
    max_queued: int | None = None  # refuse it when more than so many wait already


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A prediction ready to be rendered: links signed, nothing left to look up."""

    prediction: Prediction
    input: Mapping[str, Any]
    outputs: tuple[str, ...] = ()  # absolute URLs, in order; data URIs if `Dialect.inlines`
    ticket: str = ""  # 52 letters that open this prediction's event stream
    position: int | None = None  # predictions ahead of it in the queue
    previews: tuple[str, ...] = ()  # data URIs, in order, if `StreamDialect.shows_previews`


class Signer(Protocol):
    """Secrets and signatures by which a webhook's receiver verifies a message."""

    def secrets(self, owner: str) -> Sequence[str]:
        """The owner's signing secrets, newest first: `whsec_` and 32 bytes in standard base 64.

        There are several while the server's secret rotates: sign with all of them, or, where a
        message bears one signature, with the last and tell receivers that one.
        """

    def ed25519(self, message: bytes) -> bytes:
        """The 64 bytes of a signature under the server's own key pair."""

    @property
    def public_keys(self) -> Sequence[bytes]:
        """32 bytes each, one of which verifies it; publish all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A webhook about to be sent: what its signature covers besides the body."""

    id: str  # the same on every try
    at: float  # now, UTC seconds since 1970
    signer: Signer
    secret: str = ""  # the caller's own, if it brought one


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A webhook's message: exactly the bytes that were signed."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The page of a list that the caller wants."""

    limit: int = 100
    after: Cursor | None = None
    after_id: str = ""  # the same where a page goes on behind the last id, not a cursor
    where: Filter = field(default_factory=Filter)
    nothing: bool = False  # a filter we know matches none of ours
    skip: int = 0  # how many to leave out before the page, where pages have numbers
    keep: Callable[[Prediction], bool] | None = None  # what `where` cannot say


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a multipart body; `filename` is None for a plain field."""

    name: str
    data: bytes
    filename: str | None = None
    content_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file a caller sends. The content type is a claim; the bytes decide."""

    name: str
    content_type: str
    data: bytes
    size_bytes: int | None = None  # announced, while the bytes are still to come
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an upload's bytes may be sent, by ticket, and the link they will have."""

    ticket: str
    link: str


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One server-sent event; an empty name or id is left out."""

    event: str
    id: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A public name and the rules of its input: a JSON Schema whose fields carry `x-order`."""

    name: str
    description: str
    schema: Mapping[str, Any]
    versions: tuple[str, ...] = ()  # ids callers may pin, the current one first
    is_inpainting: bool = False  # whether only weights that keep to a mask in each step will do


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Facts for DESCRIBE: the caller, the weights that serve each public model, and the keys
    that verify webhooks."""

    owner: str
    weights: Mapping[str, str]
    webhook_secrets: Sequence[str] = ()  # the owner's own; none where nobody in particular asks
    public_keys: Sequence[bytes] = ()
