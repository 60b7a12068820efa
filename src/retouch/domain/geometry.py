"""Sizes: the shapes FLUX.1 Kontext was trained on, and from an aspect ratio to pixels.

Every size is a multiple of 16: the autoencoder shrinks by 8 and tokens pack 2x2 latents.
"""

from math import sqrt

from retouch.domain.edit import AspectRatio, Edit, Size

MULTIPLE = 16
MEGAPIXEL = 1024 * 1024

PREFERRED_SIZES: tuple[Size, ...] = tuple(
    Size(width, height)
    for width, height in (
        (672, 1568), (688, 1504), (720, 1456), (752, 1392), (800, 1328), (832, 1248),
        (880, 1184), (944, 1104), (1024, 1024), (1104, 944), (1184, 880), (1248, 832),
        (1328, 800), (1392, 752), (1456, 720), (1504, 688), (1568, 672),
    )
)  # fmt: skip
"""Kontext's 17 training resolutions (black-forest-labs/flux, sampling.py), narrowest first."""


def preferred_size(picture: Size, area: int = MEGAPIXEL) -> Size:
    """The training resolution nearest to a picture's shape, scaled to `area` pixels.

    Nearest by |difference of width/height|; ties go to the narrower. At one megapixel this is
    the table itself, which is what the reference code stretches its input to.
    """
    ratio = picture.width / picture.height
    nearest = min(
        PREFERRED_SIZES, key=lambda size: (abs(size.width / size.height - ratio), size.width)
    )
    if area == MEGAPIXEL:
        return nearest
    scale = sqrt(area / MEGAPIXEL)
    return Size(_round(nearest.width * scale), _round(nearest.height * scale))


def ratio_size(ratio: AspectRatio, area: int = MEGAPIXEL) -> Size:
    """`area` pixels in the given shape, each side floored to a multiple of 16 (flux, util.py)."""
    width = sqrt(area * ratio.width / ratio.height)
    return Size(_floor(width), _floor(width * ratio.height / ratio.width))


def target_size(edit: Edit, first: Size | None, area: int = MEGAPIXEL) -> Size:
    """The size of the picture to make.

    An explicit size wins (floored to multiples of 16), then an aspect ratio, then the shape of
    the first reference; with none of them, a square.
    """
    if edit.size is not None:
        return Size(_floor(edit.size.width), _floor(edit.size.height))
    if edit.aspect_ratio is not None:
        return ratio_size(edit.aspect_ratio, area)
    if first is not None:
        return preferred_size(first, area)
    return ratio_size(AspectRatio(1, 1), area)


def _floor(side: float) -> int:
    return max(MULTIPLE, int(side + 1e-6) // MULTIPLE * MULTIPLE)


def _round(side: float) -> int:
    return max(MULTIPLE, round(side / MULTIPLE) * MULTIPLE)
