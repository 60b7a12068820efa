"""A prediction's life: its states, the legal moves between them, and the events they leave.

    queued ──start──▶ running ──succeed──▶ succeeded
      │ ▲               │ │
      │ └───requeue─────┘ ├──fail────────▶ failed
      ├──fail─────────────┼──────────────▶ failed
      └──cancel───────────┴──────────────▶ canceled

A move is a value. A store applies it only to a row that is still in one of the states the move
may leave, and, for a worker's move, only while that worker holds that attempt (`Fence`).
Final means final: no move leaves a final state.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from retouch.domain.edit import Edit
from retouch.domain.failure import Failure, FailureKind

MAX_ATTEMPTS = 3
"""Tries a prediction gets when its worker is lost: frozen past its lease, or gone with its host."""

MAX_CRASHES = 2
"""Worker processes a prediction may take down with it before it is taken for the cause."""

MAX_RESTARTS = 10
"""Tries a prediction gets when its whole server is killed: nothing blames it, but it could be what
exhausts the machine each time."""


class Status(StrEnum):
    """Where a prediction stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        """Whether no move leaves this state."""
        return self not in (Status.QUEUED, Status.RUNNING)


PREVIEW = "preview-"
"""How the names of previews begin, among a prediction's blobs."""

FINAL = frozenset(status for status in Status if status.is_final)
"""The states no move leaves."""


class Kept(StrEnum):
    """The parts of a prediction that is over. Each is kept for a time of its own."""

    INPUTS = "inputs"  # the pictures that came with it
    OUTPUTS = "outputs"  # the pictures it made
    RECORD = "record"  # these and all else that is known of it, but that it once was


@dataclass(frozen=True, slots=True)
class Output:
    """A finished picture: where its bytes are and what they are."""

    key: str
    content_type: str
    width: int
    height: int
    size_bytes: int
    is_judged: bool = False  # whether a safety check looked at it, and let it pass


@dataclass(frozen=True, slots=True)
class Progress:
    """Denoising steps done so far, of how many; how many previews this attempt has stored."""

    step: int
    steps: int
    previews: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where a prediction's moves are told, and what its protocol needs to word them later."""

    url: str
    tells: frozenset[Status]  # the states whose arrival is told
    origin: str  # scheme and host of the server, as the caller spelled them
    mount: str = ""  # the prefix the caller used
    secret: str = field(default="", repr=False)  # the caller's own, where it brings one to sign by


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One accepted edit and everything known of it. Times are UTC seconds since 1970."""

    id: str
    owner: str  # the key's id that made it
    protocol: str  # the dialect it came in by
    model: str  # public name, `owner/name`
    input: Mapping[str, Any]  # the caller's own fields, echoed back
    edit: Edit
    created_at: float
    status: Status = Status.QUEUED
    priority: int = 0  # higher is claimed sooner
    cost: float = 1.0  # share of the machine it is expected to need, for fairness
    attempt: int = 0  # 1 for the first worker that starts it
    crashes: int = 0  # worker processes that died while they held it
    worker: str | None = None  # who holds it while running
    progress: Progress | None = None
    logs: str = ""
    outputs: tuple[Output, ...] = ()
    failure: Failure | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    started_at: float | None = None
    completed_at: float | None = None
    webhook: Webhook | None = None
    deadline: float | None = None  # when it is cancelled if it is not over
    start_by: float | None = None  # when it fails if no worker has started it
    request: str = ""  # the id of the HTTP request that made it, as log lines have it
    trace: str = ""  # the W3C `traceparent` of that request, where spans are recorded
    keep_s: Mapping[Kept, float] = field(default_factory=dict)  # its own times, 0 for ever
    data_removed: bool = False  # its pictures are gone, or all but that it once was

    @property
    def error(self) -> str | None:
        """The sentence of its failure."""
        return None if self.failure is None else self.failure.error

    @property
    def is_forgotten(self) -> bool:
        """Whether it ended by itself, and neither its pictures nor its failure are kept."""
        has_ended = self.status in (Status.SUCCEEDED, Status.FAILED)
        return has_ended and self.data_removed and not self.failure

    def preview_key(self, number: int) -> str:
        """Where the attempt under way keeps a preview's bytes, counted from 0."""
        return f"{self.id}/{self.attempt}/{PREVIEW}{number}.{self.edit.output_format.extension}"


@dataclass(frozen=True, slots=True)
class Fence:
    """Proof of holding a prediction: the worker's name and the attempt it was given."""

    worker: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Start:
    """queued → running: a worker takes it. Made by `claim` only."""

    worker: str


@dataclass(frozen=True, slots=True)
class Succeed:
    """running → succeeded."""

    outputs: tuple[Output, ...]
    metrics: Mapping[str, float]
    logs: str = ""


@dataclass(frozen=True, slots=True)
class Fail:
    """queued or running → failed."""

    failure: Failure
    metrics: Mapping[str, float] = field(default_factory=dict)
    logs: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    """queued or running → canceled. `by` is `owner`, `operator` or `deadline`."""

    by: str


Loss = Literal["abandoned", "crashed", "restarted"]
"""How a worker was lost: it fell silent, its process is known to have died, or its whole server
was killed and has started again."""

ATTEMPTS: Mapping[Loss, int] = {
    "abandoned": MAX_ATTEMPTS,
    "crashed": MAX_ATTEMPTS,
    "restarted": MAX_RESTARTS,
}
"""Attempts after which a loss is the last."""


@dataclass(frozen=True, slots=True)
class Requeue:
    """running → queued. `interrupted` (an orderly stop) gives the attempt back; a `Loss` keeps it,
    and the store fails the prediction instead once what `ATTEMPTS` allows, or `MAX_CRASHES`, is
    spent."""

    reason: Literal["interrupted"] | Loss


Move = Start | Succeed | Fail | Cancel | Requeue

LEAVES: Mapping[type[Move], frozenset[Status]] = {
    Start: frozenset({Status.QUEUED}),
    Succeed: frozenset({Status.RUNNING}),
    Fail: frozenset({Status.QUEUED, Status.RUNNING}),
    Cancel: frozenset({Status.QUEUED, Status.RUNNING}),
    Requeue: frozenset({Status.RUNNING}),
}
"""The states each move may leave."""

ARRIVES: Mapping[type[Move], Status] = {
    Start: Status.RUNNING,
    Succeed: Status.SUCCEEDED,
    Fail: Status.FAILED,
    Cancel: Status.CANCELED,
    Requeue: Status.QUEUED,
}
"""The state each move arrives in."""

NOT_STARTED = Failure(
    FailureKind.NOT_STARTED,
    "No worker was free to start this prediction in the time its caller gave it.",
)
"""Of a prediction that was not started by its `start_by`."""

WORKER_LOST = Failure(
    FailureKind.WORKER_LOST, "The worker was lost too often while running this prediction."
)
"""Of a prediction whose attempts are spent."""

WORKER_CRASHED = Failure(
    FailureKind.WORKER_CRASHED,
    f"The worker crashed {MAX_CRASHES} times while running this prediction.",
)
"""Of a prediction that is taken for the cause of the crashes."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the append-only log: what happened to a prediction, in order of `seq`."""

    seq: int
    prediction_id: str
    name: str  # created, started, succeeded, failed, canceled, requeued
    at: float
    data: Mapping[str, Any]
