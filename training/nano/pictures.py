"""Procedural pictures: endless dead leaves with textures, so that no photograph is ever trained on.

Occluding shapes of many sizes give the edges and the 1/f spectrum of natural images (Lee, Mumford
and Huang, "Occlusion models for natural images", IJCV 2001; Baradad et al., "Learning to see by
looking at noise", NeurIPS 2021). `pool` makes a number of them once; `crops` cuts and jitters
training batches from a pool.
"""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Random = np.random.Generator

POOL_SIDE = 512


@lru_cache(maxsize=1)
def _textures() -> Floats:
    """A bank of 1/f^a noise fields, (48, 512, 512), zero mean and unit deviation."""
    random = np.random.default_rng(7)
    rows, columns = np.meshgrid(np.fft.fftfreq(512), np.fft.rfftfreq(512), indexing="ij")
    bank = []
    for _ in range(48):
        stretch = np.exp(random.normal(0, 0.5))
        radius = np.sqrt((rows * stretch) ** 2 + (columns / stretch) ** 2)
        radius[0, 0] = 1
        spectrum = radius ** -random.uniform(0.7, 1.9)
        spectrum[0, 0] = 0
        phase = np.exp(2j * math.pi * random.random(spectrum.shape))
        field = np.fft.irfft2(spectrum * phase, s=(512, 512))
        bank.append(field / field.std())
    return np.stack(bank).astype(np.float32)


def _texture(random: Random, height: int, width: int) -> Floats:
    bank = _textures()
    field = bank[random.integers(len(bank))]
    top, left = random.integers(0, 512 - height + 1), random.integers(0, 512 - width + 1)
    return field[top : top + height, left : left + width]


def _colour(random: Random, palette: Floats) -> Floats:
    base = palette[random.integers(len(palette))]
    return np.clip(base + random.normal(0, 0.12) + random.normal(0, 0.05, 3), 0, 1).astype(
        np.float32
    )


def _palette(random: Random) -> Floats:
    """A few colours that go together: mostly muted ones, sometimes strong ones."""
    count = random.integers(3, 9)
    grey = random.beta(1.1, 1.1, (count, 1))
    spread = random.choice([0.03, 0.08, 0.15, 0.35], p=[0.15, 0.35, 0.3, 0.2])
    cast = random.normal(0, 0.06, 3)
    return np.clip(grey + cast + random.normal(0, spread, (count, 3)), 0, 1).astype(np.float32)


def _paint(random: Random, palette: Floats, rows: Floats, columns: Floats, size: float) -> Floats:
    """A fill for a shape: plain, shaded, striped or textured, over local coordinates; (h, w, 3)."""
    height, width = rows.shape
    fill = np.broadcast_to(_colour(random, palette), (height, width, 3))
    angle = random.uniform(0, 2 * math.pi)
    along = (math.cos(angle) * columns + math.sin(angle) * rows) / size
    kind = random.random()
    if kind < 0.45:
        other = _colour(random, palette)
        weight = np.clip(0.5 + along * random.uniform(0.2, 0.6), 0, 1)[..., None]
        fill = fill * (1 - weight) + other * weight
    elif kind < 0.6:
        other = _colour(random, palette)
        wave = 0.5 + 0.5 * np.sin(along * random.uniform(4, 30) + random.uniform(0, 6))
        sharpness = random.uniform(1, 8)
        weight = np.clip(0.5 + (wave - 0.5) * sharpness, 0, 1)[..., None]
        fill = fill * (1 - weight) + other * weight
    if random.random() < 0.7:
        strength = random.exponential(0.07)
        tone = random.normal(1, 0.25, 3).astype(np.float32)
        fill = fill + strength * _texture(random, height, width)[..., None] * tone
    return fill


def _cover(random: Random, rows: Floats, columns: Floats, size: float) -> Floats:
    """Coverage of a random shape in [0, 1] over local coordinates; (h, w)."""
    angle = random.uniform(0, math.pi) if random.random() < 0.6 else 0.0
    across = math.cos(angle) * columns + math.sin(angle) * rows
    down = -math.sin(angle) * columns + math.cos(angle) * rows
    ratio = math.exp(random.normal(0, 0.45))
    across, down = across * ratio, down / ratio
    kind = random.random()
    if kind < 0.45:
        distance = np.sqrt(across**2 + down**2) - size
    elif kind < 0.85:
        distance = np.maximum(np.abs(across), np.abs(down)) - size * 0.8
    else:
        distance = np.maximum(np.abs(across) * 0.87 + down * 0.5, -down) - size * 0.5
    softness = random.choice([0.7, 1.5, 5.0, 16.0], p=[0.6, 0.2, 0.13, 0.07])
    return np.clip(0.5 - distance / softness, 0, 1)


def dead_leaves(seed: int, side: int = POOL_SIDE) -> Bytes:
    """One picture, (side, side, 3) in uint8, a function of its seed alone."""
    random = np.random.default_rng(seed)
    palette = _palette(random)
    lines = np.arange(side, dtype=np.float32)
    canvas = np.array(
        _paint(
            random,
            palette,
            *np.meshgrid(lines - side / 2, lines - side / 2, indexing="ij"),
            side / 2,
        ),
        dtype=np.float32,
    )
    smallest, largest = random.uniform(3, 10), side * random.uniform(0.2, 0.5)
    for _ in range(int(random.choice([12, 30, 70, 140], p=[0.15, 0.3, 0.35, 0.2]))):
        # Sizes from a power law r^-2 or so, the scale-invariant choice; small ones come last, on
        # top, more often.
        size = 1 / (1 / smallest + random.random() * (1 / largest - 1 / smallest))
        if random.random() < 0.35:
            size = smallest * (largest / smallest) ** random.random()
        middle = random.uniform(0, side, 2)
        reach = size * 2.2 + 12
        top, bottom = (int(np.clip(v, 0, side)) for v in (middle[0] - reach, middle[0] + reach))
        left, right = (int(np.clip(v, 0, side)) for v in (middle[1] - reach, middle[1] + reach))
        if bottom - top < 2 or right - left < 2:
            continue
        rows, columns = np.meshgrid(
            lines[top:bottom] - middle[0], lines[left:right] - middle[1], indexing="ij"
        )
        cover = (_cover(random, rows, columns, size) * random.choice([1, 1, 1, 0.6]))[..., None]
        window = canvas[top:bottom, left:right]
        window += cover * (_paint(random, palette, rows, columns, size) - window)
    if random.random() < 0.5:
        canvas += random.exponential(0.06) * _texture(random, side, side)[..., None]
    if random.random() < 0.3:
        canvas += random.exponential(0.02) * random.normal(0, 1, (side, side, 1))
    return (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)


def pool(count: int, seed: int = 0, workers: int = 2, side: int = POOL_SIDE) -> Tensor:
    """`count` pictures as uint8 (count, 3, side, side)."""
    seeds = [seed * 1_000_003 + number for number in range(count)]
    if workers < 2:
        made = [dead_leaves(number, side) for number in seeds]
    else:
        with ProcessPoolExecutor(workers) as executor:
            made = list(executor.map(dead_leaves, seeds, [side] * count, chunksize=16))
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).contiguous()


def crops(pictures: Tensor, count: int, height: int, width: int, random: torch.Generator) -> Tensor:
    """A training batch from a pool: float (count, 3, height, width) in [0, 1], cropped, flipped
    and jittered.
    """
    side = pictures.shape[-1]
    # Small canvases are sometimes whole scenes shrunk, sometimes details at full scale.
    most = side // max(height, width)
    shrink = int(torch.randint(1, most + 1, (), generator=random))
    tall, wide = height * shrink, width * shrink
    cut = []
    for _ in range(count):
        number = int(torch.randint(len(pictures), (), generator=random))
        top = int(torch.randint(side - tall + 1, (), generator=random))
        left = int(torch.randint(side - wide + 1, (), generator=random))
        cut.append(pictures[number, :, top : top + tall, left : left + wide])
    batch = torch.stack(cut).float() / 255
    if shrink > 1:
        batch = functional.avg_pool2d(batch, shrink)
    return _jitter(batch, random)


def _jitter(batch: Tensor, random: torch.Generator) -> Tensor:
    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand((len(batch), *shape), generator=random)

    if torch.rand((), generator=random) < 0.5:
        batch = batch.flip(-1)
    if torch.rand((), generator=random) < 0.5:
        batch = batch.flip(-2)
    order = torch.randperm(3, generator=random) if torch.rand((), generator=random) < 0.3 else None
    if order is not None:
        batch = batch[:, order]
    contrast, offset = draw(0.6, 1.25, 1, 1, 1), draw(-0.15, 0.15, 1, 1, 1)
    gain = draw(0.85, 1.15, 3, 1, 1)
    return ((batch - 0.5) * contrast * gain + 0.5 + offset).clamp(0, 1)
