"""Steps for the places that an edit changes only; all others go straight on.

After RegionE (Chen et al., arXiv 2510.25590). Once a picture has settled, the places that an edit
leaves alone move on an almost straight line: where it ends is known from one velocity. So

- the first steps are whole, until the picture has settled;
- then the picture is looked at: where the line of a place ends is compared with the reference
  there, and unlike places count as edited;
- the following steps carry the edited places only. Attention sees the other places and the
  reference as the last whole pass had them, and the other places keep the velocity they had then;
- half way a whole step looks again, and the last steps are whole, to smooth over the seams.

The paper's velocity decay is fitted to one checkpoint and one number of steps, so it is not here:
the step cache of `packed.recalled_velocity` works inside these steps instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from retouch.engine.families.aside import Pair, kept
from retouch.engine.families.packed import Request
from retouch.engine.families.positions import Grid
from retouch.engine.families.recall import Recall

SETTLING, AGAIN, SMOOTHING = 6 / 28, 16 / 28, 2 / 28
"""Parts of all steps: before the first look, before the second, and after the last region. What the
paper's authors use with FLUX.1 Kontext's 28 steps."""

Kind = Literal["whole", "look", "regional"]


def kind_of(step: int, steps: int) -> Kind:
    """What the step of that number, from 0, is for a picture that takes so many.

    >>> [kind_of(step, 8)[0] for step in range(8)]
    ['w', 'l', 'r', 'r', 'r', 'l', 'r', 'w']
    """
    settled, again = ceil(steps * SETTLING), round(steps * AGAIN)
    last = steps - ceil(steps * SMOOTHING) - 1  # that may leave out anything
    if step > last:
        return "whole"
    if step in (settled - 1, again):
        return "look" if step < last else "whole"
    return "regional" if step >= settled else "whole"


def why_whole(target: Grid, references: Sequence[Grid], steps: int) -> str:
    """Why all steps of a request are whole, for its logs; empty where some are not."""
    if all(kind_of(step, steps) != "regional" for step in range(steps)):
        return f"{steps} steps are too few"
    if len(references) != 1:
        return f"there are {len(references)} references to compare with, not one"
    if references[0] != target:
        return "the reference has another shape than the picture"
    return ""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A request's rows of a region for a pass, and the values that replace its other rows."""

    request: Request  # with the region's rows only
    aside: Sequence[Pair]  # of all its other image rows

    @classmethod
    def of(cls, request: Request, is_edited: Tensor, notes: list[Pair]) -> "Excerpt":
        """From what a whole pass of the request noted; `is_edited` (target tokens,)."""
        text, references = len(request.text), len(request.references)
        places = is_edited.nonzero()[:, 0]
        others = torch.cat([~is_edited, is_edited.new_ones(references)]).nonzero()[:, 0]
        own = torch.cat([torch.arange(text).to(places), text + places])
        part = replace(
            request,
            references=request.references[:0],
            rope=request.rope[own],
            target_tokens=len(places),
        )
        return cls(part, kept(notes, others))


@dataclass(frozen=True, slots=True)
class Region:
    """The places a picture is stepped at, and what stands in for the others meanwhile."""

    places: Tensor  # (places,), of the target's rows
    excerpts: Sequence[Excerpt]  # of each of the picture's requests
    velocity: Tensor  # (target tokens, C), of the last whole step

    @classmethod
    def of(
        cls,
        requests: Sequence[Request],
        is_edited: Tensor,
        notes: Sequence[list[Pair]],
        velocity: Tensor,
    ) -> "Region":
        """From a whole step, with what the pass of each request noted; `is_edited` (target tokens,)
        is from `edited`."""
        excerpts = [
            Excerpt.of(request, is_edited, noted)
            for request, noted in zip(requests, notes, strict=True)
        ]
        return cls(is_edited.nonzero()[:, 0], excerpts, velocity)

    def recall(self, whole: Recall | None) -> Recall | None:
        """What a whole pass is remembered by, at these places."""
        if whole is None:
            return None
        return Recall(whole.first[self.places], whole.rest[self.places])

    def moved(self, velocity: Tensor) -> Tensor:
        """The velocity of all places, (target tokens, C), from that of these."""
        moved = self.velocity.clone()
        moved[self.places] = velocity
        return moved


def edited(estimate: Tensor, reference: Tensor, grid: Grid, likeness: float) -> Tensor:
    """The places that an edit changes, (tokens,): where the latents' cosine is too small.

    `estimate` and `reference` (tokens, C) are packed latents of the same grid. Places that stand
    alone are noise and do not count; round what remains two more places do, for its seam.
    """
    alike = functional.cosine_similarity(estimate.float(), reference.float(), dim=1)
    marked = (alike < likeness).float().view(1, 1, *grid)
    return _grown(_cleared(marked)).view(-1).bool()


def _cleared(marked: Tensor) -> Tensor:
    """Marks without those that lack one of their four neighbours; the rim needs none outside."""
    tall = functional.max_pool2d(1 - marked, (3, 1), stride=1, padding=(1, 0))
    wide = functional.max_pool2d(1 - marked, (1, 3), stride=1, padding=(0, 1))
    return 1 - torch.maximum(tall, wide)


def _grown(marked: Tensor) -> Tensor:
    """Marks with all places up to two rows and columns away."""
    return functional.max_pool2d(marked, 5, stride=1, padding=2)
