"""What is trained when: learning rate, picture sizes, noise levels and the share of every edit.

Everything that changes over a run is a function of `progress`, elapsed time over the whole time, so
that the same recipe fits ten minutes on a laptop and an hour on an accelerator.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.nano.edits import Edit

FULL_SIZES = ((256, 256), (288, 224), (224, 288))
LARGE_SIZES = ((384, 384), (384, 384), (512, 384), (384, 512), (512, 512))
TWO_IMAGE_SHARE = 0.45
COMPOSED_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Canvas:
    """The shape of one step: how many samples of which size, with how many references each."""

    count: int
    height: int
    width: int
    images: int


def rate(progress: float, step: int, warm_up: int = 100) -> float:
    """Fraction of the full learning rate: warm-up by steps, constant, then to zero over the last
    quarter.
    """
    return min(1.0, (step + 1) / warm_up) * min(1.0, max(0.0, (1 - progress) / 0.25))


def canvas(progress: float, rng: random.Random, tokens: int) -> Canvas:
    """Draw a size and a batch of about `tokens` tokens: small pictures first, the served sizes
    and larger ones in the second half.
    """
    low, high, full, large = (4, 8, 0.04, 0.0) if progress < 0.5 else (4, 10, 0.2, 0.2)
    rows, columns = rng.randint(low, high), rng.randint(low, high)
    chance = rng.random()
    if chance < full + large:
        sizes = FULL_SIZES if chance < full else LARGE_SIZES
        rows, columns = (side // 16 for side in rng.choice(sizes))
    images = 2 if rng.random() < TWO_IMAGE_SHARE else 1
    count = max(2, round(tokens / (rows * columns * (images + 1) + 32)))
    return Canvas(count, rows * 16, columns * 16, images)


def times(edits: Sequence[Edit], random_: torch.Generator) -> Tensor:
    """Noise levels in (0, 1], one an edit: logit-normal towards 1, and some nearly pure noise.

    The answer is a function of the references alone, so the first step of a sampler decides most of
    it. At lower levels a network finds the place of a token by comparing it with the references,
    and never learns to compute it; edits that go by place are therefore trained from pure noise
    most of the time.
    """
    count = len(edits)
    level = torch.sigmoid(0.8 + torch.randn(count, generator=random_))
    start = 1 - 0.03 * torch.rand(count, generator=random_) ** 2
    share = torch.tensor([0.85 if edit.by_place else 0.3 for edit in edits])
    level = torch.where(torch.rand(count, generator=random_) < share, start, level)
    return level.clamp(min=0.05)


def draw(
    edits: Sequence[Edit], errors: dict[str, float], count: int, rng: random.Random
) -> list[Edit]:
    """Choose `count` edits, some of them compositions, those with the larger error (per-edit mean
    square) more often; sorted by name.
    """
    composed = [edit for edit in edits if edit.parts]
    single = [edit for edit in edits if not edit.parts]
    share = COMPOSED_SHARE if composed else 0.0
    double = sum(rng.random() < share for _ in range(count))
    chosen = _weighted(single, errors, count - double, rng)
    if double:
        chosen += _weighted(composed, errors, double, rng)
    return sorted(chosen, key=lambda edit: edit.name)


def _weighted(
    edits: Sequence[Edit], errors: dict[str, float], count: int, rng: random.Random
) -> list[Edit]:
    known = [errors.get(edit.name, 0.0) for edit in edits]
    middle = sorted(known)[len(known) // 2] or 1.0
    weights = [
        (min(3.0, max(0.5, (error / middle) ** 0.5)) if error else 1.0)
        * (2 if edit.by_place else 1)
        for edit, error in zip(edits, known, strict=True)
    ]
    return rng.choices(list(edits), weights, k=count)
