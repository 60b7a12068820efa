"""Between FLUX.2's pixels and its latents, packed and as the autoencoder has them.

A token has the 4 * c features of a 2x2 block, normalised by their statistics over the training
pictures. Shapes: C features per token.
"""

from typing import Any

import torch
from torch import Tensor

from retouch.engine.families import pixels
from retouch.engine.families.positions import Grid


def encode(vae: Any, tensor: Tensor) -> Tensor:
    """Pixels (1, 3, height, width) to packed latents, (tokens, C): the posterior's mode."""
    patches = pixels.patch(vae.encode(tensor).latent_dist.mode())
    mean, deviation = _statistics(vae, patches)
    return pack((patches - mean) / deviation)


def decode(vae: Any, latents: Tensor, grid: Grid) -> Tensor:
    """The inverse of `encode`: pixels (1, 3, height, width)."""
    decoded: Tensor = vae.decode(unpack(vae, latents, grid), return_dict=False)[0]
    return decoded


def pack(patches: Tensor) -> Tensor:
    """(1, C, rows, columns) to (rows * columns, C)."""
    return patches[0].flatten(1).T


def unpack(vae: Any, latents: Tensor, grid: Grid) -> Tensor:
    """Packed latents as the autoencoder decodes them, (1, c, 2 * rows, 2 * columns)."""
    patches = latents.view(1, *grid, -1).permute(0, 3, 1, 2)
    mean, deviation = _statistics(vae, patches)
    return pixels.unpatch(patches * deviation + mean)


def _statistics(vae: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each feature over the training pictures, (1, C, 1, 1)."""
    norm = vae.bn
    variance = norm.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps
    mean = norm.running_mean.view(1, -1, 1, 1).to(like)
    return mean, torch.sqrt(variance).to(like)
