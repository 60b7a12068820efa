"""How large each reference becomes before it is encoded."""

from collections.abc import Sequence
from math import sqrt

from retouch.domain.edit import Size
from retouch.domain.geometry import MULTIPLE, preferred_size
from retouch.engine.families.recipe import ReferenceFit

BUDGET_IN_AREAS = 2
"""Pixels all references together may have, in multiples of the recipe's area."""


def reference_sizes(
    images: Sequence[Size], target: Size, fit: ReferenceFit, area: int
) -> tuple[Size, ...]:
    """The size of each reference, sides multiples of 16.

    `target`: each as the target. `own`: each at the training size nearest its shape, scaled to
    `area` pixels. Several that would together exceed `BUDGET_IN_AREAS` times the area shrink by one
    common factor until they fit, their shapes kept up to the rounding down of their sides; a step's
    time grows with the square of their tokens, and the first ones lose nothing to the last.
    """
    if fit == "target":
        return (target,) * len(images)
    sizes = tuple(preferred_size(image, area) for image in images)
    pixels = sum(size.width * size.height for size in sizes)
    budget = BUDGET_IN_AREAS * area
    # A single reference, or two, may be a rounding above their areas, as the training sizes are.
    if len(sizes) <= BUDGET_IN_AREAS or pixels <= budget:
        return sizes
    factor = sqrt(budget / pixels)
    return tuple(Size(_down(s.width * factor), _down(s.height * factor)) for s in sizes)


def stitched_size(images: Sequence[Size], target: Size, fit: ReferenceFit, area: int) -> Size:
    """The size of one picture that holds all, side by side and equally high.

    `target`: as the target. `own`: each keeps its shape and has `area` pixels on average, within
    the budget. The training sizes are not used: they would squash so wide a picture.
    """
    if fit == "target":
        return target
    ratio = sum(image.width / image.height for image in images)
    height = sqrt(area * min(len(images), BUDGET_IN_AREAS) / ratio)
    return Size(_down(height * ratio), _down(height))


def capped_size(image: Size, area: int) -> Size:
    """A picture's own size, at most `area` pixels, its sides rounded down to multiples of 16."""
    within = capped(image, area)
    return Size(_down(within.width), _down(within.height))


def capped(image: Size, area: int) -> Size:
    """A picture's own size, or one of its shape with `area` pixels when it has more."""
    if image.width * image.height <= area:
        return image
    scale = sqrt(area / (image.width * image.height))
    return Size(int(image.width * scale), int(image.height * scale))


def _down(side: float) -> int:
    return max(MULTIPLE, int(side) // MULTIPLE * MULTIPLE)
