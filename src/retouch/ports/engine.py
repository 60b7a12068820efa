"""The engine, which runs edits step by step, and the models it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from retouch.domain.edit import Edit, Mode, Size
from retouch.domain.failure import Failure
from retouch.domain.picture import Picture
from retouch.domain.prediction import Progress


@dataclass(frozen=True, slots=True)
class Job:
    """An edit whose pictures are decoded, ready for the engine, and what its turn depends on."""

    id: str
    edit: Edit
    images: tuple[Picture, ...]
    owner: str = ""
    priority: int = 0  # higher is served sooner
    deadline: float | None = None  # UTC seconds since 1970; it is cancelled then
    facts: Mapping[str, object] = field(default_factory=dict)  # for log lines about it


@dataclass(frozen=True, slots=True)
class Stepped:
    """A job has done one more step."""

    id: str
    progress: Progress


@dataclass(frozen=True, slots=True)
class Previewed:
    """A preview: an estimate of a job's first picture from the steps done so far."""

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
    """A job cannot be done."""

    id: str
    failure: Failure
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
    """Sizes, steps, seed, tokens and memory of one picture, decided before any tensor exists."""

    size: Size
    references: tuple[Size, ...]
    steps: int
    guidance: float | None
    seed: int
    tokens: int  # in one forward: text + target + references
    mode: Mode = "exact"  # as served: the edit's is a hint
    held_bytes: int = 0  # what its session keeps between steps, as estimated; 0 is not known
    peak_bytes: int = 0  # the most one of its stages takes on top
    skipped: int = 0  # steps of its path left out before the first, which are not in `steps`
    notes: tuple[str, ...] = ()  # what of the edit's wishes is not done and why, for the logs

    @property
    def pixels(self) -> int:
        """Of the picture."""
        return self.size.width * self.size.height


class Memory(Protocol):
    """The memory of the engine's device."""

    def free_bytes(self) -> int | None:
        """Bytes that could still be allocated; None when that is not known."""

    def trim(self) -> None:
        """Free memory that is cached and no longer used."""

    def trim_heap(self) -> None:
        """Return unused main memory that the allocator holds. Cheap enough for every picture."""


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
