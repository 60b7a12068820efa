"""Edits of a part of a picture: after each step all other places are put back.

As diffusers' `FluxKontextInpaintPipeline` does it: outside of the mask the latents are the
picture's own under as much noise as the path has left, so the last step leaves the picture itself
there. With a strength below 1 the path begins late, at the picture under less than all noise.

Shapes: T tokens of the target, C features each.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from retouch.domain.edit import Size
from retouch.domain.picture import Mask
from retouch.engine.families import pixels

LATENT = 8
"""Pixels along the side that one latent stands for."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """The original that a masked edit keeps outside its mask, in the model's precision."""

    original: Tensor  # (T, C), the picture's latents
    noise: Tensor  # (T, C), what the path began with
    may_change: Tensor | None  # (T, C), whether; None for a path that is left alone

    def noised(self, sigma: Tensor) -> Tensor:
        """The picture at a noise level, (T, C)."""
        level = sigma.to(self.original)
        return level * self.noise + (1.0 - level) * self.original

    def put_back(self, latents: Tensor, sigma: Tensor) -> Tensor:
        """A path's latents at a noise level, with the picture where it may not change."""
        if self.may_change is None:
            return latents
        return torch.where(self.may_change, latents, self.noised(sigma))


def skipped_steps(steps: int, strength: float) -> int:
    """How many steps, of so many, a strength above 0 leaves out at the start; never all.

    >>> [skipped_steps(28, strength) for strength in (1.0, 0.88, 0.5, 0.01)]
    [0, 3, 14, 27]
    """
    return int(max(steps - min(steps * strength, steps), 0))


def changeable(mask: Mask, size: Size, channels: int) -> Tensor:
    """Which latents of a picture of a size a mask lets change, packed: (T, 4 * channels).

    A latent counts as soon as one of its pixels is marked by half: no thin line of a mask is lost.
    """
    grey = torch.from_numpy(np.frombuffer(mask.data, dtype=np.uint8).copy())
    marked = (grey.view(1, 1, mask.height, mask.width) >= 128).float()
    rows, columns = (-(-side // (2 * LATENT)) * 2 for side in (size.height, size.width))
    latent: Any = functional.adaptive_max_pool2d(marked, (rows, columns))
    return pixels.pack(latent.repeat(1, channels, 1, 1)).bool()
