"""The seams: what the floors above may ask of a store, blobs, a fetcher, an engine and a clock.

Each port is a few verbs. One conformance suite per port runs over every implementation.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from retouch.domain.edit import Edit, Mode, Size
from retouch.domain.grant import EVERYTHING, NO_LIMITS, Grant, Limits
from retouch.domain.picture import Picture
from retouch.domain.prediction import Event, Fence, Kept, Loss, Move, Prediction, Progress, Status


class Clock(Protocol):
    """Time, as an argument."""

    def now(self) -> float:
        """UTC seconds since 1970."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""


# -- traces --------------------------------------------------------------------------------------


class Span(Protocol):
    """A stretch of time that something took."""

    @property
    def context(self) -> str:
        """Its W3C `traceparent`, for what happens because of it; empty when nothing is recorded."""

    def end(self, *, at: float | None = None, error: str = "", **facts: str | float) -> None:
        """It is over, now or at a time (UTC seconds), in failure if there is an `error`."""


class Tracer(Protocol):
    """Records spans. No fact of one is a prompt, a key or an address's values."""

    def begin(
        self, name: str, parent: str = "", *, at: float | None = None, **facts: str | float
    ) -> Span:
        """A span under the one whose `traceparent` this is, from now or from a time."""


class _Untraced(Span, Tracer):
    context = ""

    def end(self, *, at: float | None = None, error: str = "", **facts: str | float) -> None:
        """Nothing is recorded."""

    def begin(
        self, name: str, parent: str = "", *, at: float | None = None, **facts: str | float
    ) -> Span:
        """Nothing is recorded."""
        return self


UNTRACED: Tracer = _Untraced()
"""Records nothing."""


# -- predictions ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list ordered newest first: strictly after this one."""

    created_at: float
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which of an owner's predictions a page is cut from."""

    created_after: float | None = None  # at or after
    created_before: float | None = None  # strictly before
    intact: bool = False  # only those whose record is kept


@dataclass(frozen=True, slots=True)
class Beat:
    """What a worker learns when it beats: everything it named and no longer holds.

    `canceled` were cancelled by their owner; `lost` went to somebody else or are over. Either
    way the worker drops them.
    """

    canceled: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()


ONCE_WITHIN_S = 86_400.0
"""How long a prediction keeps what it was added `once` under to itself."""


class Store(Protocol):
    """The prediction table: the queue and the only truth. Each verb is one transaction.

    Every verb raises Busy when the database stays away. A Busy may come out of a commit that did
    happen: look before doing it again.
    """

    async def add(
        self,
        prediction: Prediction,
        *,
        fingerprint: str | None = None,
        once: str | None = None,
        limits: Limits = NO_LIMITS,
    ) -> None:
        """Put a queued prediction on disk, with its `created` event. Returns once it is durable.

        `fingerprint` identifies the request for `twin`; of all that are added under one `once`
        in `ONCE_WITHIN_S` the first alone is. Concurrent calls may share a commit. For its own
        caller only, a taken id or `once` raises ValueError, `limits` that are reached Throttled
        or Full; however many add at once, no limit is passed.
        """

    async def first(self, once: str) -> tuple[Prediction, str | None] | None:
        """What was added under `once` in the last `ONCE_WITHIN_S`, and its fingerprint."""

    async def twin(self, owner: str, fingerprint: str, *, within_s: float) -> Prediction | None:
        """The owner's newest prediction with this fingerprint made in the last `within_s`."""

    async def get(self, id: str, *, owner: str | None = None) -> Prediction | None:
        """One prediction, or None when it is unknown or not this owner's (None: anybody's)."""

    async def statuses(self, ids: Collection[str]) -> Mapping[str, str]:
        """The status of each known id, in one query: what waiters follow."""

    async def standings(self, ids: Collection[str]) -> Mapping[str, tuple[Status, int]]:
        """The status and the attempt of each known id, in one query."""

    async def page(
        self,
        owner: str | None,
        *,
        limit: int,
        after: Cursor | None = None,
        where: Filter = Filter(),
    ) -> Sequence[Prediction]:
        """Up to `limit` predictions, newest first, by (created_at, id)."""

    async def position(self, id: str) -> int | None:
        """How many queued predictions would be claimed before this one; None unless queued."""

    async def claim(self, worker: str, *, limit: int, lease_s: float) -> Sequence[Prediction]:
        """Start up to `limit` queued predictions: priority first, then fair tag, then age.

        Each comes back running, attempt counted, held by `worker` until the lease lapses.
        No prediction is ever given to two callers at once. One that a worker crashed under
        comes alone, to a worker that holds nothing, and what is behind it waits.
        """

    async def advance(
        self, id: str, move: Move, *, fence: Fence | None = None
    ) -> Prediction | None:
        """Apply a move and record its event, atomically; the prediction after it, or None.

        None means the move lost a race: the row has left the states the move may leave, or the
        fence no longer holds. Nothing was written then.
        """

    async def beat(
        self, worker: str, held: Mapping[str, tuple[int, Progress | None]], *, lease_s: float
    ) -> Beat:
        """Renew the leases of a snapshot of held ids ({id: (attempt, progress)}), publish progress.

        Only named ids are renewed, so one claimed while the beat is in flight is untouched.
        """

    async def drop_previews(self, *, ended_for_s: float, limit: int) -> Sequence[str]:
        """Forget the previews of what ended at least so long ago; the ids, whose blobs may go."""

    async def release(
        self, worker: str | None = None, *, loss: Loss = "abandoned"
    ) -> Sequence[Prediction]:
        """Requeue what a lost worker held; with None, every lapsed lease.

        One that has spent its attempts or its crashes fails instead. Returns the predictions it
        moved.
        """

    async def expire(self) -> Sequence[Prediction]:
        """Cancel (by `deadline`) whatever is past its deadline, and fail what waits past its
        `start_by`, which a claim clears; the predictions it moved.
        """

    async def outdated(
        self, kept: Kept, *, keep_s: float | None, now: float, limit: int
    ) -> Sequence[Prediction]:
        """Up to `limit` predictions that still have this though they were over for long enough by
        `now`: for their own time, or, for those without one, `keep_s` (None: for ever).
        """

    async def erase(self, ids: Collection[str], kept: Kept) -> int:
        """Forget this of predictions that are over; its bytes are gone already.

        The record goes with its events, its webhook and what that was to be told; id, owner,
        model, status and times stay. Those with nothing of it are passed over; how many had some.
        """

    async def events(self, id: str, *, after: int = 0) -> Sequence[Event]:
        """The prediction's events with seq > after, in order."""

    async def changed(self, timeout_s: float) -> None:
        """Return when the table may have changed, at the latest after the timeout. A hint only."""

    async def depth(self) -> Mapping[str, int]:
        """How many predictions stand in each status that is not final."""

    async def oldest_wait_s(self) -> float | None:
        """For how long the longest waiting has waited by the store's clock; None without any."""

    async def start(self) -> None:
        """Open connections; the schema must be current."""

    async def stop(self) -> None:
        """Close them. Safe to call twice."""


# -- webhooks ------------------------------------------------------------------------------------


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"  # due now or later, or being sent
    DELIVERED = "delivered"
    GIVEN_UP = "given up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One thing to tell a prediction's webhook: that it arrived in the state `tells`."""

    id: str  # the same on every try
    prediction_id: str
    tells: Status
    created_at: float  # when the prediction made that move
    due_at: float  # when it may be claimed; while it is being sent, when its lease lapses
    attempt: int = 0  # tries begun
    state: DeliveryState = DeliveryState.WAITING
    note: str = ""  # how the last try ended, for the operator
    sender: str = ""  # who is sending it, while it is claimed


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver took it."""

    note: str


@dataclass(frozen=True, slots=True)
class Retry:
    """It failed; due again after `in_s` seconds."""

    in_s: float
    note: str


@dataclass(frozen=True, slots=True)
class Postpone:
    """It was not tried: due again after `in_s` seconds, the attempt given back."""

    in_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It failed for good."""

    note: str


Outcome = Delivered | Retry | Postpone | GiveUp


class Outbox(Protocol):
    """What webhooks are still to be told. Part of the same database as the predictions.

    A move writes its delivery in its own transaction, so each is recorded exactly once.
    """

    async def deliveries(
        self, *, limit: int, lease_s: float, sender: str = ""
    ) -> Sequence[Delivery]:
        """Claim up to `limit` due deliveries, longest due first, their attempt counted.

        One that is not settled is due again when its lease lapses. No delivery is given to two
        callers at once.
        """

    async def release_deliveries(self, sender: str) -> int:
        """Make due at once what a dead sender had claimed; how many that were."""

    async def settle(self, delivery: Delivery, outcome: Outcome) -> bool:
        """Record how this attempt ended; False, and nothing written, once it is not current."""

    async def list_deliveries(self, *, limit: int) -> Sequence[Delivery]:
        """The newest deliveries, by (created_at, id)."""

    async def replay(self, id: str) -> Delivery | None:
        """Make a delivery due now, its attempts counted from none; None when it is unknown."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receiver answered; `retry_after_s` when it named a time to come back."""

    status: int
    retry_after_s: float | None = None


class Undelivered(Exception):
    """A webhook could not be sent to its receiver; the message is the reason, for the operator."""


class Courier(Protocol):
    """Guarded POSTs to the addresses callers name."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Receipt:
        """Send it and read the status; follows nothing. Raises Undelivered saying why not."""


# -- processes -----------------------------------------------------------------------------------


class ProcessKind(StrEnum):
    """What a process on the roster is for."""

    WORKER = "worker"
    WEB = "web"


@dataclass(frozen=True, slots=True)
class Enlisted:
    """A process that is up, and what it measured, in Prometheus' text format."""

    name: str
    kind: ProcessKind
    figures: str


class Roster(Protocol):
    """Which processes are up, and their figures: workers, and web processes where there are
    several. Part of the same database as the predictions.
    """

    async def enlist(self, process: Enlisted) -> None:
        """Record that a process is up now. Two of one name are the same."""

    async def strike(self, name: str) -> None:
        """Forget a process. Unknown names are fine."""

    async def strike_silent(self, *, for_s: float) -> None:
        """Forget who was not heard for so long. It writes, so it raises Busy where nobody can."""

    async def enlisted(self, *, within_s: float) -> Sequence[Enlisted]:
        """Each process that was heard in the last `within_s`, in order of their names."""


# -- keys and files ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A caller's credential, without its secret."""

    id: str  # the owner recorded on what it makes
    name: str
    prefix: str  # shown in listings
    digest: bytes  # SHA-256 of the whole secret
    created_at: float
    revoked_at: float | None = None
    grant: Grant = EVERYTHING


class Keys(Protocol):
    """The credentials. Part of the same database as the predictions."""

    async def add_key(self, key: Key) -> None:
        """Record a key; a taken id or prefix raises ValueError."""

    async def find_key(self, prefix: str) -> Key | None:
        """The unrevoked key with this prefix."""

    async def list_keys(self) -> Sequence[Key]:
        """Every key, oldest first, revoked ones included."""

    async def revoke_key(self, id: str, at: float) -> bool:
        """Revoke; False when there is no such unrevoked key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An upload of a caller's."""

    id: str
    owner: str
    name: str
    content_type: str
    size_bytes: int
    sha256: str
    md5: str
    key: str  # blob key
    created_at: float
    expires_at: float
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Files(Protocol):
    """What we know of uploads; their bytes are blobs."""

    async def add_file(self, file: File) -> None:
        """Record an upload whose bytes are already stored."""

    async def get_file(self, id: str, *, owner: str | None = None) -> File | None:
        """One file, or None when unknown or not this owner's (None: anybody's)."""

    async def page_files(
        self, owner: str, *, limit: int, after: Cursor | None = None
    ) -> Sequence[File]:
        """Up to `limit` files, newest first."""

    async def delete_file(self, id: str, *, owner: str | None = None) -> File | None:
        """Forget a file; what it was, or None."""

    async def expired_files(self, now: float, *, limit: int) -> Sequence[File]:
        """Files past their expiry, oldest first."""


# -- blobs and the outside -----------------------------------------------------------------------


class Blobs(Protocol):
    """Bytes under keys like `{prediction}/{attempt}/{n}.png`; any other shape is a ValueError.

    Every verb raises Busy when the store cannot be reached or is full.
    """

    async def put(self, key: str, data: bytes) -> None:
        """Write and sync. An existing key is replaced whole."""

    async def open(self, key: str) -> bytes:
        """The bytes; raises NotFound."""

    async def size(self, key: str) -> int:
        """The length in bytes; raises NotFound."""

    async def delete(self, key: str) -> None:
        """Remove; a missing key is fine."""

    async def list(self, prefix: str) -> Sequence[str]:
        """Every key under a prefix."""

    def written_before(self, when: float) -> AsyncIterator[Sequence[str]]:
        """Every key last written before a time (UTC seconds), in batches and any order."""

    async def tidy(self, before: float) -> None:
        """Remove what writes that were cut short before a time left behind; no key is touched."""


class Fetcher(Protocol):
    """Guarded downloads."""

    async def fetch(self, url: str) -> bytes:
        """The body of an http(s) URL; raises BadInput with a sentence fit for the caller."""


class Decoder(Protocol):
    """Untrusted bytes to pixels."""

    async def decode(self, data: bytes) -> Picture:
        """An upright sRGB picture; raises BadInput with a sentence fit for the caller.

        Raises Busy, and blames no image, once the decoder is stopping.
        """


class NotUpsampled(Exception):
    """A prompt could not be elaborated; the message is the reason, for its logs."""


class Upsampler(Protocol):
    """Elaborates prompts."""

    name: str  # what it is called in logs

    async def upsample(self, prompt: str, pictures: int) -> str:
        """The prompt at greater length, for an edit of so many pictures; raises NotUpsampled."""


# -- safety --------------------------------------------------------------------------------------


class PromptCheck(Protocol):
    """Judges words."""

    name: str  # what it is called in logs

    def judge(self, prompt: str, tolerance: int) -> str | None:
        """What a prompt is refused for at a tolerance of 0 (strict) to 6; None lets it pass."""


class PictureCheck(Protocol):
    """Judges pictures. Called from any thread."""

    name: str

    def judge(self, picture: Picture, tolerance: int) -> str | None:
        """What a picture is refused for at a tolerance of 0 to 5; None lets it pass.

        Raises EngineFailed when it cannot tell.
        """


# -- engine --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Job:
    """An edit whose pictures are decoded, ready for the engine, and what its turn depends on."""

    id: str
    edit: Edit
    images: tuple[Picture, ...]
    owner: str = ""
    priority: int = 0  # higher is served sooner
    deadline: float | None = None  # UTC seconds since 1970; it is cancelled then


@dataclass(frozen=True, slots=True)
class Stepped:
    """A job got on by one step."""

    id: str
    progress: Progress


@dataclass(frozen=True, slots=True)
class Previewed:
    """A look at a job's first picture, as it would be if its path went straight on from here."""

    id: str
    picture: Picture


@dataclass(frozen=True, slots=True)
class Finished:
    """A job is done."""

    id: str
    pictures: tuple[Picture, ...]
    metrics: Mapping[str, float]
    logs: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A job cannot be done; `error` is a sentence for the user."""

    id: str
    error: str
    logs: str


EngineEvent = Stepped | Previewed | Finished | Broken


class Engine(Protocol):
    """A synchronous object that advances jobs by denoising steps. Called from one thread."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to step."""

    def room(self) -> int:
        """How many more jobs it would take now."""

    def expected_s(self) -> float | None:
        """How long the next forward pass should take; None while that is not known."""

    def add(self, job: Job) -> None:
        """Take a job; it is planned at the next step."""

    def cancel(self, id: str) -> None:
        """Drop a job at the next step boundary. Unknown ids are fine."""

    def step(self) -> Sequence[EngineEvent]:
        """One iteration: open one picture, one denoising step for one group, close the done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one picture will take, decided before any tensor exists."""

    size: Size
    references: tuple[Size, ...]
    steps: int
    guidance: float | None
    seed: int
    tokens: int  # in one forward: text + target + references
    mode: Mode = "exact"  # as served: the edit's is a hint
    held_bytes: int = 0  # what its session keeps between steps, as estimated; 0 is not known
    peak_bytes: int = 0  # the most one of its stages takes on top
    notes: tuple[str, ...] = ()  # what of the edit's wishes is not done and why, for the logs


class Memory(Protocol):
    """The memory of the engine's device."""

    def free_bytes(self) -> int | None:
        """What could still be had; None when nobody can tell."""

    def trim(self) -> None:
        """Give back what is cached and no longer used."""


class Family(Protocol):
    """A model architecture with weights loaded: owns every tensor. `S` below is its session type.

    A session is one picture being made; dropping it frees what it holds. `open`, `step`, `preview`
    and `close` raise EngineFailed for what concerns their sessions only, a lack of memory as
    OutOfMemory.
    """

    name: str  # of the weights that serve, for logs

    def plan(self, edit: Edit, images: Sequence[Size], seed: int) -> Plan:
        """Sizes, steps, seed and tokens for one picture; raises InvalidEdit."""

    def open(self, plan: Plan, edit: Edit, images: Sequence[Picture]) -> Any:
        """A session: text and references encoded, noise drawn."""

    def step(self, sessions: Sequence[Any]) -> None:
        """One denoising step for each session, in one forward pass. Any mix of sizes.

        All or nothing: when it raises, no session has moved.
        """

    def step_index(self, session: Any) -> int:
        """Steps a session has done."""

    def metrics(self, session: Any) -> Mapping[str, float]:
        """Figures of a session beyond its steps, by name; what pictures of one job have is added.

        A family that does anything but exact arithmetic says here what it did.
        """

    def preview(self, session: Any) -> Picture | None:
        """The picture a session heads for, decoded; changes nothing. None when it cannot tell.

        Asked only of sessions whose edit wants previews, after their first step.
        """

    def close(self, session: Any) -> Picture:
        """Decode the finished session."""

    def cost(self, plan: Plan) -> float:
        """Relative work of one step of such a picture, more than 0."""
