"""Fit the codec's one statistic: the standard deviation of each of its coefficients."""

from __future__ import annotations

import torch
from torch import Tensor

from retouch.engine.families.codec import DctCodec, zigzag

COUNTS = (16, 4, 4)


@torch.no_grad()
def fitted(pictures: Tensor) -> DctCodec:
    """A `DctCodec` scaled on uint8 pictures (n, 3, h, w), halfway to the 1/f law that photographs
    follow.

    The law (Field, JOSA A 1987) gives a coefficient at radial frequency f an amplitude of 1/f; its
    level is matched to the pictures. Procedural pictures alone have too much of the highest
    frequencies.
    """
    plain = DctCodec(*COUNTS)
    latent = torch.cat(
        [plain.encode(part.float() / 127.5 - 1).latent_dist.mode() for part in pictures.split(32)]
    )
    measured = latent.square().mean((0, 2, 3)).sqrt()
    scales: list[float] = []
    for count in COUNTS:
        own = measured[len(scales) : len(scales) + count]
        law = torch.tensor(
            [1 / max(0.5, (row**2 + column**2) ** 0.5) for row, column in zigzag(count)]
        )
        law = law * (own.log() - law.log()).mean().exp()
        scales += [round(float(value), 5) for value in (own * law).sqrt()]
    return DctCodec(*COUNTS, scales=scales, latent_channels=sum(COUNTS))
