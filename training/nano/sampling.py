"""The plain sampler: FLUX's shifted sigmas and Euler steps, on the stock transformer forward.

It exists so that training can be judged without the engine; schedule and noise follow diffusers
0.42.1 `pipelines/flux/pipeline_flux_kontext.py` and black-forest-labs/flux `src/flux/sampling.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor

from retouch.engine.families.codec import DctCodec
from training.nano import words as words_
from training.nano.network import pack, position_ids, unpack


class Embedder(Protocol):
    """What reads instructions: `words.Words`, or what stands in for it."""

    def embed(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Pooled (n, 128) and states (n, 32, 128)."""
        ...


@dataclass(frozen=True, slots=True)
class Nano:
    """The loaded parts of a checkpoint folder."""

    transformer: FluxTransformer2DModel
    codec: DctCodec
    words: Embedder


def load(folder: Path) -> Nano:
    """Load every component with the class that wrote it."""
    transformer = FluxTransformer2DModel.from_pretrained(folder / "transformer").eval()
    return Nano(transformer, DctCodec.from_pretrained(folder / "vae"), words_.load(folder))


def sigmas(steps: int, tokens: int) -> list[float]:
    """Shifted noise levels from 1 down, with a final 0; `tokens` counts the target's."""
    mu = 0.5 + (1.15 - 0.5) / (4096 - 256) * (tokens - 256)
    even = [1 + (1 / steps - 1) * k / max(1, steps - 1) for k in range(steps)]
    return [math.exp(mu) / (math.exp(mu) + 1 / sigma - 1) for sigma in even] + [0.0]


@torch.no_grad()
def edit(
    nano: Nano, texts: Sequence[str], pictures: Sequence[Tensor], steps: int, seed: int = 0
) -> Tensor:
    """Edit batches of references (b, 3, h, w) in [0, 1], one text a row: (b, 3, h, w) in [0, 1]."""
    count, _, height, width = pictures[0].shape
    references = [pack(nano.codec.encode(2 * x - 1).latent_dist.mode()) for x in pictures]
    shape = (
        1,
        nano.codec.config.latent_channels,
        2 * math.ceil(height / 16),
        2 * math.ceil(width / 16),
    )
    noise = torch.randn(
        shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32
    )
    x = pack(noise).expand(count, -1, -1)
    pooled, states = nano.words.embed(texts)
    ids = position_ids(shape[2] // 2, shape[3] // 2, len(pictures))
    levels = sigmas(steps, x.shape[1])
    for now, after in pairwise(levels):
        guess = nano.transformer(
            hidden_states=torch.cat([x, *references], 1),
            encoder_hidden_states=states,
            pooled_projections=pooled,
            timestep=torch.full((count,), now),
            img_ids=ids,
            txt_ids=torch.zeros(states.shape[1], 3),
            return_dict=False,
        )[0][:, : x.shape[1]]
        x = x + (after - now) * guess
    pixels = nano.codec.decode(unpack(x, shape[2], shape[3]), return_dict=False)[0]
    return (pixels / 2 + 0.5).clamp(0, 1)
