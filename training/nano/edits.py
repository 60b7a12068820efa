"""The vocabulary's pictures: what every edit exactly does to its reference images.

Each edit is a function of float RGB batches in [0, 1]; its phrasings live in `phrasings`. The raw
functions are linear in the pixels wherever the edit allows and may leave [0, 1]: training aims at
the raw result, because a linear target stays linear in the codec's space, and the picture anyone
sees is clipped (`exact`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.nano.phrasings import ARRANGEMENTS, LOOK_WORDS

Pictures = Sequence[Tensor]

LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class Edit:
    """One word of the vocabulary: its name, how many images it takes, and what it does to them.

    `raw` maps `images` batches (b, 3, h, w) to one (b, 3, h, w), unclipped. `by_place`
    says that a pixel's answer depends on where it is, which is the hard part to learn. `parts`
    names the look and the arrangement of a composition.
    """

    name: str
    images: int
    raw: Callable[[Pictures], Tensor]
    by_place: bool = False
    parts: tuple[str, ...] = ()

    def exact(self, pictures: Pictures) -> Tensor:
        """The right answer as a picture: (b, 3, h, w) in [0, 1]."""
        return self.raw(pictures).clamp(0, 1)


def _constant(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]


def luma(x: Tensor) -> Tensor:
    """BT.601 luma of (b, 3, h, w) as (b, 1, h, w)."""
    return (x * _constant(LUMA, x)).sum(1, keepdim=True)


def gaussian(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur with edges replicated; `sigma` in pixels."""
    radius = math.ceil(3 * sigma)
    points = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-0.5 * (points / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    x = functional.pad(x, (radius, radius, radius, radius), mode="replicate")
    x = functional.conv2d(x, kernel, groups=3)
    return functional.conv2d(x, kernel.transpose(2, 3), groups=3)


def _one(change: Callable[[Tensor], Tensor]) -> Callable[[Pictures], Tensor]:
    return lambda pictures: change(pictures[0])


def _saturate(x: Tensor, amount: float) -> Tensor:
    grey = luma(x)
    return grey + amount * (x - grey)


def _sepia(x: Tensor) -> Tensor:
    return luma(x) * _constant((0.92, 0.80, 0.60), x) + _constant((0.08, 0.04, 0.0), x)


def _vintage(x: Tensor) -> Tensor:
    return 0.7 * _saturate(x, 0.5) + _constant((0.26, 0.2, 0.1), x)


def _night(x: Tensor) -> Tensor:
    return _saturate(x, 0.5) * _constant((0.28, 0.34, 0.6), x) + _constant((0.0, 0.0, 0.07), x)


def _tint(colour: tuple[float, float, float]) -> Callable[[Pictures], Tensor]:
    return lambda pictures: 0.6 * pictures[0] + 0.4 * _constant(colour, pictures[0])


def _shift(colour: tuple[float, float, float]) -> Callable[[Pictures], Tensor]:
    return lambda pictures: pictures[0] + _constant(colour, pictures[0])


def _vignette(x: Tensor) -> Tensor:
    # The radius is in pixels and not relative: the model sees positions, never the size of the
    # canvas.
    rows, columns = (
        torch.arange(n, dtype=x.dtype, device=x.device) - (n - 1) / 2 for n in x.shape[-2:]
    )
    radius = torch.sqrt(rows[:, None] ** 2 + columns[None, :] ** 2)
    fall = ((radius - 40) / 150).clamp(0, 1)
    return x * (1 - 0.8 * fall * fall * (3 - 2 * fall))


def _symmetric(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return torch.cat([x[..., :half], x[..., :half].flip(-1)], -1)


def _beside(left: Tensor, right: Tensor) -> Tensor:
    half = left.shape[-1] // 2
    return torch.cat([left[..., :half], right[..., half:]], -1)


def _above(top: Tensor, bottom: Tensor) -> Tensor:
    half = top.shape[-2] // 2
    return torch.cat([top[..., :half, :], bottom[..., half:, :]], -2)


def _recolour(x: Tensor, palette: Tensor) -> Tensor:
    return x - x.mean((-2, -1), keepdim=True) + palette.mean((-2, -1), keepdim=True)


EDITS: tuple[Edit, ...] = (
    Edit("black and white", 1, _one(lambda x: luma(x).expand_as(x))),
    Edit("sepia", 1, _one(_sepia)),
    Edit("invert", 1, _one(lambda x: 1 - x)),
    Edit("brighter", 1, _one(lambda x: 0.6 * x + 0.4)),
    Edit("darker", 1, _one(lambda x: 0.5 * x)),
    Edit("more contrast", 1, _one(lambda x: 0.5 + 1.7 * (x - 0.5))),
    Edit("less contrast", 1, _one(lambda x: 0.5 + 0.45 * (x - 0.5))),
    Edit("more saturated", 1, _one(lambda x: _saturate(x, 2.0))),
    Edit("less saturated", 1, _one(lambda x: _saturate(x, 0.5))),
    Edit("warmer", 1, _shift((0.12, 0.02, -0.14))),
    Edit("cooler", 1, _shift((-0.14, 0.0, 0.14))),
    Edit("tint red", 1, _tint((0.9, 0.05, 0.1))),
    Edit("tint green", 1, _tint((0.1, 0.8, 0.2))),
    Edit("tint blue", 1, _tint((0.1, 0.2, 0.95))),
    Edit("tint purple", 1, _tint((0.6, 0.1, 0.85))),
    Edit("tint orange", 1, _tint((1.0, 0.55, 0.0))),
    Edit("vintage", 1, _one(_vintage)),
    Edit("night", 1, _one(_night)),
    Edit("swap red and blue", 1, _one(lambda x: x.flip(1))),
    Edit("blur", 1, _one(lambda x: 0.5 * x + 0.5 * gaussian(x, 2.5))),
    Edit("sharpen", 1, _one(lambda x: 2 * x - gaussian(x, 2.0))),
    Edit("vignette", 1, _one(_vignette), by_place=True),
    Edit("mirror", 1, _one(lambda x: x.flip(-1)), by_place=True),
    Edit("upside down", 1, _one(lambda x: x.flip(-2)), by_place=True),
    Edit("half turn", 1, _one(lambda x: x.flip(-2, -1)), by_place=True),
    Edit("symmetric", 1, _one(_symmetric), by_place=True),
    Edit("blend", 2, lambda pictures: (pictures[0] + pictures[1]) / 2),
    Edit(
        "first left, second right",
        2,
        lambda pictures: _beside(pictures[0], pictures[1]),
        by_place=True,
    ),
    Edit(
        "second left, first right",
        2,
        lambda pictures: _beside(pictures[1], pictures[0]),
        by_place=True,
    ),
    Edit(
        "first above, second below",
        2,
        lambda pictures: _above(pictures[0], pictures[1]),
        by_place=True,
    ),
    Edit(
        "second above, first below",
        2,
        lambda pictures: _above(pictures[1], pictures[0]),
        by_place=True,
    ),
    Edit("colours of the second", 2, lambda pictures: _recolour(pictures[0], pictures[1])),
)

BY_NAME = {edit.name: edit for edit in EDITS}


def compose(look: Edit, arrangement: Edit) -> Edit:
    """Both edits in one: the pictures arranged, then given the look.

    The looks are affine and, but for blur, act on each pixel alone, so either order gives the same
    picture (blur differs by a seam between two halves).
    """
    return Edit(
        f"{look.name} + {arrangement.name}",
        arrangement.images,
        lambda pictures: look.raw([arrangement.raw(pictures)]),
        arrangement.by_place,
        (look.name, arrangement.name),
    )


COMPOSITIONS: tuple[Edit, ...] = tuple(
    compose(BY_NAME[look], BY_NAME[arrangement])
    for look in LOOK_WORDS
    for arrangement in ARRANGEMENTS
)
BY_NAME |= {edit.name: edit for edit in COMPOSITIONS}
