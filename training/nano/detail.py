"""Train the convolutions behind the codec's decoder: `python -m training.nano.detail --minutes 20`.

They learn to undo two things on procedural pictures: the cut of the high coefficients, and noise in
the latents of about the size of the transformer's own mistakes. The encoder and the latents stay
what they were, so every transformer trained on this codec stays valid. Takes an exported weights
folder and writes its `vae` anew.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from retouch.engine.families.codec import BLOCK, DctCodec
from training.nano.pictures import crops, pool

SIDE = 96
MISTAKE = 0.12
"""Standard deviation of the noise that stands for a transformer's mistakes, in latents of unit
variance: a choice, judged by what `evaluate` prints."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is told."""

    minutes: float
    width: int = 64
    blocks: int = 2
    batch: int = 16
    peak: float = 2e-3
    seed: int = 0


def with_detail(codec: DctCodec, width: int, blocks: int) -> DctCodec:
    """The same linear map, with fresh convolutions behind it."""
    known = {name: value for name, value in codec.config.items() if not name.startswith("_")}
    return DctCodec(**{**known, "detail_width": width, "detail_blocks": blocks})


def lost(codec: DctCodec, pictures: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mean square errors on pictures (b, 3, h, w) in [0, 1] of disturbed latents, decoded with the
    convolutions and without. The border, where a crop hides what is beyond, does not count.
    """
    target = 2 * pictures - 1
    latents = codec.encode(target).latent_dist.mode()
    level = 1.5 * MISTAKE * torch.rand((len(latents), 1, 1, 1), generator=random)
    latents = latents + level * torch.randn(latents.shape, generator=random)
    linear = nn.functional.conv_transpose2d(latents, codec.synthesis, stride=BLOCK)
    inner = (..., slice(BLOCK, -BLOCK), slice(BLOCK, -BLOCK))
    without = linear - target
    return (without + codec.detail(latents))[inner].square().mean(), without[inner].square().mean()


def rate(progress: float, step: int) -> float:
    """Fraction of the full learning rate: a short warm-up, then down to zero from 60 %."""
    return min(1.0, (step + 1) / 50) * min(1.0, max(0.0, (1 - progress) / 0.4))


def train(codec: DctCodec, pictures: Tensor, options: Options) -> DctCodec:
    """A copy of the codec with convolutions trained on a pool of pictures, uint8 (n, 3, h, w)."""
    torch.manual_seed(options.seed)
    codec = with_detail(codec, options.width, options.blocks)
    random = torch.Generator().manual_seed(options.seed)
    learned = [value for value in codec.parameters() if value.requires_grad]
    optimiser = torch.optim.AdamW(learned, betas=(0.9, 0.98), weight_decay=0.01)
    started, step, ratios = time.monotonic(), 0, list[float]()
    while (progress := (time.monotonic() - started) / (60 * options.minutes)) < 1:
        batch = crops(pictures, options.batch, SIDE, SIDE, random)
        loss, without = lost(codec, batch, random)
        for group in optimiser.param_groups:
            group["lr"] = options.peak * rate(progress, step)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        ratios.append(loss.item() / without.item())
        step += 1
        if step % 200 == 0:
            print(f"step {step}  error against linear {sum(ratios) / len(ratios):.4f}", flush=True)
            ratios.clear()
    return codec


def main() -> None:
    """Read the command line, train, replace the folder's codec."""
    parser = argparse.ArgumentParser(description="Train the codec's decoder.")
    parser.add_argument("--weights", type=Path, default=Path("src/retouch/weights/nano"))
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--pictures", type=int, default=1000, help="size of the procedural pool")
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    codec = DctCodec.from_pretrained(given.weights / "vae")
    pictures = pool(given.pictures, seed=11, workers=os.cpu_count() or 1)
    train(codec, pictures, Options(given.minutes)).save_pretrained(given.weights / "vae")


if __name__ == "__main__":
    main()
