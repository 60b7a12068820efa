"""Position ids: where each token stands on the (t, h, w) axes of the rotary embedding.

Ids are float32, never the model's own precision: bfloat16 cannot count past 256, which several
references reach. Text stands at the origin, the target has t = 0.
"""

from collections.abc import Sequence
from math import pi

import torch
from torch import Tensor

from retouch.domain.edit import ReferenceLayout, Size
from retouch.domain.geometry import MULTIPLE
from retouch.engine.families.recipe import PositionOrigin

Grid = tuple[int, int]
"""Rows and columns of tokens; a token covers 16x16 pixels."""


def grid(size: Size) -> Grid:
    """The tokens of a picture whose sides are multiples of 16."""
    return size.height // MULTIPLE, size.width // MULTIPLE


def tokens(size: Size) -> int:
    """How many they are."""
    rows, columns = grid(size)
    return rows * columns


FOLD = 4 * pi * 557
"""What folded positions add above and to the left of the centre.

With rotary axes of 12 channels (theta 10000) the two fastest rotations do not feel it, nor half of
it: a place and its mirror images look alike to them. The slowest turns by half a circle and tells
them apart, so a head with constant biases can look at a mirrored place whatever the grid's size.
"""


def grid_ids(
    grid: Grid, *, t: float = 0.0, offset: tuple[float, float] = (0.0, 0.0), origin: PositionOrigin
) -> Tensor:
    """Ids of one picture's tokens, row by row: (rows * columns, 3).

    `offset` (rows, columns) moves a grid that counts from the top left corner.
    """
    rows, columns = grid
    ids = torch.zeros(rows, columns, 3, dtype=torch.float32)
    ids[..., 0] = t
    ids[..., 1] = _axis(rows, offset[0], origin)[:, None]
    ids[..., 2] = _axis(columns, offset[1], origin)[None, :]
    return ids.reshape(rows * columns, 3)


def _axis(count: int, offset: float, origin: PositionOrigin) -> Tensor:
    """Ids along one axis: from the corner, or folded, outwards from the centre on both sides."""
    place = torch.arange(count, dtype=torch.float32) + offset
    if origin == "corner":
        return place
    place = place - (count - 1) / 2
    return place.abs() + FOLD * (place < 0) + FOLD / 2 * (place == 0)


def position_ids(
    text_tokens: int,
    target: Grid,
    references: Sequence[Grid],
    *,
    layout: ReferenceLayout,
    origin: PositionOrigin,
) -> Tensor:
    """Ids of a whole request in the order [text | target | references]: (tokens, 3).

    `offset` lays all references out on the plane t = 1 as a mosaic; `index` gives reference k
    (from 1) the plane t = k. Raises ValueError for `stitch`, which is no layout of tokens.
    """
    if layout == "stitch":
        raise ValueError("stitched references are one picture, they have no positions of their own")
    parts = [torch.zeros(text_tokens, 3), grid_ids(target, origin=origin)]
    offsets = mosaic(references) if layout == "offset" else [(0, 0)] * len(references)
    for number, (grid, offset) in enumerate(zip(references, offsets, strict=True), start=1):
        t = 1.0 if layout == "offset" else float(number)
        parts.append(grid_ids(grid, t=t, offset=offset, origin=origin))
    return torch.cat(parts)


def planes(text_tokens: int, target: Grid, references: Sequence[Grid]) -> Tensor:
    """FLUX.2's ids of a whole request in the order [text | target | references]: (tokens, 4).

    The axes are (t, h, w, l). Text counts along l, the target has t = 0 and reference k (from 1)
    the plane t = 10 k (black-forest-labs/flux2, sampling.py).
    """
    text = torch.zeros(text_tokens, 4)
    text[:, 3] = torch.arange(text_tokens)
    parts = [text]
    for number, grid in enumerate((target, *references)):
        ids = grid_ids(grid, t=10.0 * number, origin="corner")
        parts.append(torch.cat([ids, torch.zeros(len(ids), 1)], dim=1))
    return torch.cat(parts)


def mosaic(grids: Sequence[Grid]) -> list[tuple[int, int]]:
    """The top left corner of each grid on one plane, none overlapping.

    The rule of ComfyUI (comfy/ldm/flux/model.py): a grid goes below everything so far, or to the
    right of it where the mosaic would otherwise grow taller than that would make it wide.
    """
    height = width = 0
    corners = []
    for rows, columns in grids:
        corner = (0, width) if rows + height > columns + width else (height, 0)
        corners.append(corner)
        height = max(height, corner[0] + rows)
        width = max(width, corner[1] + columns)
    return corners
