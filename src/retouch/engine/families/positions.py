"""Position ids: where each token stands on the (t, h, w) axes of the rotary embedding.

Ids are float32, never the model's own precision: bfloat16 cannot count past 256, which several
references reach. Text stands at the origin, the target has t = 0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from retouch.domain.edit import ReferenceLayout
from retouch.engine.families.recipe import PositionOrigin

Grid = tuple[int, int]
"""Rows and columns of tokens; a token covers 16x16 pixels."""


def grid_ids(
    grid: Grid, *, t: float = 0.0, offset: tuple[float, float] = (0.0, 0.0), origin: PositionOrigin
) -> Tensor:
    """Ids of one picture's tokens, row by row: (rows * columns, 3).

    Counted from the top left corner, or from the centre: row i of H then has i - (H - 1) / 2.
    """
    rows, columns = grid
    ids = torch.zeros(rows, columns, 3, dtype=torch.float32)
    middle = ((rows - 1) / 2, (columns - 1) / 2) if origin == "center" else (0.0, 0.0)
    ids[..., 0] = t
    ids[..., 1] = (torch.arange(rows, dtype=torch.float32) + offset[0] - middle[0])[:, None]
    ids[..., 2] = (torch.arange(columns, dtype=torch.float32) + offset[1] - middle[1])[None, :]
    return ids.reshape(rows * columns, 3)


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
