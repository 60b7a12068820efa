"""A picture in the making, and the update every step ends with."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from retouch.domain.edit import Lora
from retouch.engine.families.inpaint import Canvas
from retouch.engine.families.packed import Request
from retouch.engine.families.positions import Grid
from retouch.engine.families.recall import Recall
from retouch.engine.families.regional import Region
from retouch.ports import Plan


@dataclass(frozen=True, slots=True)
class Shortcuts:
    """The memory of a picture in fast mode for its next steps, and counts of what it saved."""

    recalls: tuple[
        Recall | None, ...
    ] = ()  # of each request's last whole pass, or last of a region
    region: Region | None = None  # where its next steps go, unless they are whole
    reused: int = 0  # passes of its requests cut short by a recall
    regional: int = 0  # steps of a region
    skipped_rows: int = 0  # image rows that these left out


@dataclass(slots=True)
class Session:
    """A picture being made. Dropping the object frees everything it holds."""

    plan: Plan
    requests: tuple[Request, ...]  # with the prompt and, when guided by a second pass, without
    latents: Tensor  # (target tokens, C), in the model's precision
    sigmas: Tensor  # (steps + 1,), float32, on the CPU
    grid: Grid  # of the target
    index: int = 0  # steps done
    reference: Tensor | None = None  # packed latents of where regions are told by, if they may be
    shortcuts: Shortcuts = Shortcuts()
    is_watched: bool = False  # whether somebody wants previews
    estimate: Tensor | None = None  # where a watched path ends if it goes straight on, as latents
    loras: tuple[Lora, ...] = ()
    canvas: Canvas | None = None  # where a part of the picture only may change

    def moved(self, velocity: Tensor) -> Tensor:
        """The latents one step further, (target tokens, C)."""
        sigmas = self.sigmas[self.index : self.index + 2]
        latents = euler(self.latents, velocity, sigmas)
        return latents if self.canvas is None else self.canvas.put_back(latents, sigmas[1])

    def heads_for(self, velocity: Tensor) -> Tensor:
        """The latents its path would end at, if it went straight on: x - sigma * velocity."""
        return euler(self.latents, velocity, self.sigmas[[self.index, -1]])


@dataclass(frozen=True, slots=True)
class Moved:
    """A step of one session."""

    velocity: Tensor  # of its whole target, (target tokens, C)
    shortcuts: Shortcuts = Shortcuts()


def guided(velocities: Sequence[Tensor], guidance: float | None) -> Tensor:
    """The velocity of a session's only request, or that of the one with the prompt pushed away from
    that of the one without."""
    if len(velocities) == 1 or guidance is None:
        return velocities[0]
    prompted, plain = velocities
    return plain + guidance * (prompted - plain)


def euler(latents: Tensor, velocity: Tensor, sigmas: Tensor) -> Tensor:
    """Latents one noise level further: computed in float32, cast back as the pipeline does.

    `latents` and `velocity` are (tokens, C), `sigmas` (2,) the level now and the next.
    """
    now, after = sigmas
    moved: Tensor = latents.float() + (after - now) * velocity
    return moved.to(velocity.dtype)
