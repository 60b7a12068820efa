"""A step of pictures in fast mode: which rows each brings to the pass, and what comes of it.

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
from retouch.engine.families.session import Moved, Session, Shortcuts, guided


@dataclass(frozen=True, slots=True)
class _Part:
    """One request's part of a pass."""

    request: Request
    latents: Tensor
    step: int
    recall: Recall | None = None
    beside: Beside = Beside()  # noqa: RUF009  frozen


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
    parts = [_parts(session) for session in sessions]
    steps = iter(_pass(model, blocks, [part for each in parts for part in each], tolerance))
    return [
        _moved(session, each, [next(steps) for _ in each], likeness)
        for session, each in zip(sessions, parts, strict=True)
    ]


def look_beside(model: Any, blocks: Blocks, sessions: Sequence[Session]) -> None:
    """A pass as regions make them, with nothing to see beside it: for a compiler to learn from."""
    config, blank = model.config, sessions[0].latents.new_zeros
    count = len(model.transformer_blocks) + len(model.single_transformer_blocks)
    keys, values = (
        blank(2, config.num_attention_heads, config.attention_head_dim) for _ in range(2)
    )
    beside = Beside(aside=[(keys, values)] * count)
    parts = [replace(part, beside=beside) for session in sessions for part in _parts(session)]
    _pass(model, blocks, parts, tolerance=0)


def _pass(
    model: Any, blocks: Blocks, parts: Sequence[_Part], tolerance: float
) -> Sequence[Recalled]:
    if not parts:
        return ()
    looks_beside = any(part.beside.is_needed for part in parts)
    return recalled_velocity(
        model,
        blocks,
        [part.request for part in parts],
        [part.latents for part in parts],
        [part.step for part in parts],
        [part.recall for part in parts],
        tolerance,
        [part.beside for part in parts] if looks_beside else None,
    )


def _kind(session: Session) -> Kind:
    if session.reference is None:
        return "whole"
    return kind_of(session.index, session.plan.steps)


def _leave_region(session: Session) -> None:
    """Free what stood in for the rows of a region where the step needs them all.

    Before the pass, which notes as much again. If it fails, nothing is lost: so will the next try.
    """
    if session.shortcuts.region is not None and _kind(session) != "regional":
        session.shortcuts = replace(session.shortcuts, region=None, recalls=())


def _parts(session: Session) -> list[_Part]:
    """A session's parts of a pass, one for each of its requests; none if its region is empty."""
    latents, step, region = session.latents, session.index, session.shortcuts.region
    recalls = session.shortcuts.recalls or (None,) * len(session.requests)
    if region is not None:
        if not len(region.places):
            return []
        return [
            _Part(each.request, latents[region.places], step, recall, Beside(aside=each.aside))
            for each, recall in zip(region.excerpts, recalls, strict=True)
        ]
    if _kind(session) == "look":  # with no recall: only a whole pass has all to note
        return [
            _Part(request, latents, step, beside=Beside(notes=[])) for request in session.requests
        ]
    return [
        _Part(request, latents, step, recall)
        for request, recall in zip(session.requests, recalls, strict=True)
    ]


def _moved(
    session: Session, parts: Sequence[_Part], steps: Sequence[Recalled], likeness: float
) -> Moved:
    """What a pass made of a session's parts."""
    shortcuts, region = session.shortcuts, session.shortcuts.region
    if not steps:
        assert region is not None  # only a region may lack rows  # noqa: S101
        return Moved(region.velocity, _counted(session, shortcuts, region))
    velocity = guided([step.velocity for step in steps], session.plan.guidance)
    recalls = tuple(step.recall for step in steps)
    reused = shortcuts.reused + sum(step.is_reused for step in steps)
    shortcuts = replace(shortcuts, recalls=recalls, reused=reused)
    if region is not None:
        return Moved(region.moved(velocity), _counted(session, shortcuts, region))
    notes = [part.beside.notes for part in parts if part.beside.notes is not None]
    if notes:
        region = _looked(session, velocity, notes, likeness)
        recalls = tuple(region.recall(whole) for whole in recalls)
        shortcuts = replace(shortcuts, region=region, recalls=recalls)
    return Moved(velocity, shortcuts)


def _counted(session: Session, shortcuts: Shortcuts, region: Region) -> Shortcuts:
    """With a step of a region counted."""
    rows = len(session.latents) + len(session.requests[0].references)
    return replace(
        shortcuts,
        regional=shortcuts.regional + 1,
        skipped_rows=shortcuts.skipped_rows + rows - len(region.places),
    )


def _looked(
    session: Session, velocity: Tensor, notes: Sequence[list[Pair]], likeness: float
) -> Region:
    """The region of the next steps, from a whole step's velocity and its passes' notes."""
    assert session.reference is not None  # nobody looks without one  # noqa: S101
    estimate = session.heads_for(velocity)
    is_edited = edited(estimate, session.reference, session.grid, likeness)
    return Region.of(session.requests, is_edited, notes, velocity)
