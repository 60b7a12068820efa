"""A step of requests in fast mode: which rows each brings to the pass, and what comes of it.

Two shortcuts meet here: `packed.recalled_velocity` leaves out blocks, `regional` leaves out rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from retouch.engine.families.aside import Beside, Pair
from retouch.engine.families.blocks import Blocks
from retouch.engine.families.packed import Request, recalled_velocity
from retouch.engine.families.recall import Recall, Recalled
from retouch.engine.families.regional import Kind, Region, edited, kind_of
from retouch.engine.families.session import Session, Shortcuts


@dataclass(frozen=True, slots=True)
class Moved:
    """A step of one request."""

    velocity: Tensor  # of its whole target, (target tokens, C)
    shortcuts: Shortcuts = Shortcuts()  # noqa: RUF009  (frozen)  for the next step


@dataclass(frozen=True, slots=True)
class _Part:
    """What a request brings to a pass."""

    request: Request
    latents: Tensor
    step: int
    recall: Recall | None = None
    beside: Beside = Beside()  # noqa: RUF009  (frozen)


def fast_steps(
    model: Any,
    blocks: Blocks,
    sessions: Sequence[Session],
    tolerance: float,
    likeness: float,
) -> list[Moved]:
    """The step each session is at, in one pass; none has moved yet.

    `tolerance` is `recalled_velocity`'s, `likeness` that of `regional.edited`.
    """
    for session in sessions:
        _leave_region(session)
    parts = [_part(session) for session in sessions]
    return [
        _moved(session, part, step, likeness)
        for session, part, step in zip(
            sessions, parts, _pass(model, blocks, parts, tolerance), strict=True
        )
    ]


def _pass(
    model: Any, blocks: Blocks, parts: Sequence[_Part], tolerance: float
) -> list[Recalled | None]:
    """All parts in one pass; None for those without a row."""
    places = [place for place, part in enumerate(parts) if part.request.target_tokens]
    steps: list[Recalled | None] = [None] * len(parts)
    if not places:
        return steps
    brought = [parts[place] for place in places]
    looks_beside = any(part.beside.is_needed for part in brought)
    found = recalled_velocity(
        model,
        blocks,
        [part.request for part in brought],
        [part.latents for part in brought],
        [part.step for part in brought],
        [part.recall for part in brought],
        tolerance,
        [part.beside for part in brought] if looks_beside else None,
    )
    for place, step in zip(places, found, strict=True):
        steps[place] = step
    return steps


def _kind(session: Session) -> Kind:
    if session.reference is None:
        return "whole"
    return kind_of(session.index, session.plan.steps)


def _leave_region(session: Session) -> None:
    """Free what stood in for the rows of a region where the step needs them all.

    Before the pass, which notes as much again. If it fails, nothing is lost: so will the next try.
    """
    if session.shortcuts.region is not None and _kind(session) != "regional":
        session.shortcuts = replace(session.shortcuts, region=None, recall=None)


def _part(session: Session) -> _Part:
    shortcuts, step = session.shortcuts, session.index
    region = shortcuts.region
    if region is not None:
        latents = session.latents[region.places]
        return _Part(region.request, latents, step, shortcuts.recall, Beside(aside=region.aside))
    if _kind(session) == "look":  # with no recall: only a whole pass has all to note
        return _Part(session.request, session.latents, step, beside=Beside(notes=[]))
    return _Part(session.request, session.latents, step, shortcuts.recall)


def _moved(session: Session, part: _Part, step: Recalled | None, likeness: float) -> Moved:
    """What a pass made of a part; `step` is None where it brought no row."""
    shortcuts, region = session.shortcuts, session.shortcuts.region
    if step is not None:
        reused = shortcuts.reused + step.is_reused
        shortcuts = replace(shortcuts, recall=step.recall, reused=reused)
    if region is not None:
        velocity = region.velocity if step is None else region.moved(step.velocity)
        return Moved(velocity, _counted(session, shortcuts, region))
    assert step is not None  # only a region may lack rows  # noqa: S101
    if part.beside.notes is not None:
        region = _looked(session, step.velocity, part.beside.notes, likeness)
        recall = None if step.recall is None else region.recall(step.recall)
        shortcuts = replace(shortcuts, region=region, recall=recall)
    return Moved(step.velocity, shortcuts)


def _counted(session: Session, shortcuts: Shortcuts, region: Region) -> Shortcuts:
    """With a step of a region counted."""
    skipped = len(session.latents) + len(session.request.references) - len(region.places)
    return replace(
        shortcuts,
        regional=shortcuts.regional + 1,
        skipped_rows=shortcuts.skipped_rows + skipped,
    )


def _looked(session: Session, velocity: Tensor, notes: list[Pair], likeness: float) -> Region:
    """The region of the next steps, from a whole step's velocity and notes."""
    assert session.reference is not None  # nobody looks without one  # noqa: S101
    estimate = session.heads_for(velocity)
    is_edited = edited(estimate, session.reference, session.grid, likeness)
    return Region.of(session.request, is_edited, notes, velocity)
