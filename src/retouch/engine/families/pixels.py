"""Between pictures, pixels and packed latents."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from retouch.domain.edit import Size
from retouch.domain.errors import EngineFailed
from retouch.domain.picture import Picture
from retouch.engine.families import reference


def stretch(picture: Picture, size: Size) -> Picture:
    """Resized to exactly a size with Lanczos, its shape not kept: what Kontext was trained on."""
    return _picture(_image(picture).resize((size.width, size.height), Image.Resampling.LANCZOS))


def cover(picture: Picture, size: Size) -> Picture:
    """Resized with Lanczos to cover a size, its shape kept, and cut to it around the centre."""
    scale = max(size.width / picture.width, size.height / picture.height)
    width, height = size.width / scale, size.height / scale
    left, top = (picture.width - width) / 2, (picture.height - height) / 2
    box = (left, top, left + width, top + height)
    resized = _image(picture).resize((size.width, size.height), Image.Resampling.LANCZOS, box=box)
    return _picture(resized)


def capped(picture: Picture, area: int) -> Picture:
    """Resized with Lanczos to `area` pixels when it has more, its shape kept."""
    own = Size(picture.width, picture.height)
    size = reference.capped(own, area)
    return picture if size == own else stretch(picture, size)


def stitch(pictures: Sequence[Picture], size: Size) -> Picture:
    """All pictures side by side, left to right, in one of a size; each as wide as its shape asks.

    What their rounded widths leave over is cut, never stretched.
    """
    canvas = Image.new("RGB", (size.width, size.height))
    ratios = [picture.width / picture.height for picture in pictures]
    edges = [round(size.width * sum(ratios[:n]) / sum(ratios)) for n in range(len(ratios) + 1)]
    for picture, left, right in zip(pictures, edges[:-1], edges[1:], strict=True):
        canvas.paste(_image(cover(picture, Size(max(1, right - left), size.height))), (left, 0))
    return _picture(canvas)


def cut(picture: Picture, size: Size) -> Picture:
    """Cut to a size no larger than its own, around the centre."""
    left, top = (picture.width - size.width) // 2, (picture.height - size.height) // 2
    return _picture(_image(picture).crop((left, top, left + size.width, top + size.height)))


def to_tensor(picture: Picture) -> Tensor:
    """Pixels in [-1, 1], float32, (1, 3, height, width), channels last in memory.

    The layout decides which convolution runs and with it the last bits; it is the pipeline's.
    """
    flat = np.frombuffer(picture.data, dtype=np.uint8)
    unit = flat.reshape(1, picture.height, picture.width, 3).astype(np.float32) / 255.0
    return 2.0 * torch.from_numpy(unit).permute(0, 3, 1, 2) - 1.0


def to_picture(pixels: Tensor) -> Picture:
    """Pixels (1, 3, height, width) around [-1, 1], clipped and rounded to 8 bits.

    Raises EngineFailed when they are no numbers.
    """
    if not torch.isfinite(pixels).all():
        raise EngineFailed("The model produced no picture: its numbers went out of range.")
    unit = (pixels * 0.5 + 0.5).clamp(0, 1).float()
    array = (unit[0].permute(1, 2, 0).cpu().numpy() * 255).round().astype(np.uint8)
    height, width, _ = array.shape
    return Picture(width, height, array.tobytes())


def encode(vae: Any, pixels: Tensor) -> Tensor:
    """Pixels (1, 3, h, w) to the latent (1, c, h/8, w/8): the posterior's mode, scaled."""
    latent = vae.encode(pixels).latent_dist.mode()
    scaled: Tensor = (latent - (vae.config.shift_factor or 0.0)) * vae.config.scaling_factor
    return scaled


def decode(vae: Any, latent: Tensor) -> Tensor:
    """The inverse of `encode`: pixels (1, 3, height, width)."""
    unscaled = (latent / vae.config.scaling_factor) + (vae.config.shift_factor or 0.0)
    pixels: Tensor = vae.decode(unscaled, return_dict=False)[0]
    return pixels


def pack(latent: Tensor) -> Tensor:
    """2x2 blocks as tokens: (1, c, 2 rows, 2 columns) to (rows * columns, c * 4), channel first."""
    _, channels, height, width = latent.shape
    blocks = latent[0].view(channels, height // 2, 2, width // 2, 2)
    return blocks.permute(1, 3, 0, 2, 4).reshape(height * width // 4, channels * 4)


def unpack(tokens: Tensor, rows: int, columns: int) -> Tensor:
    """The inverse of `pack`."""
    channels = tokens.shape[1] // 4
    blocks = tokens.view(rows, columns, channels, 2, 2).permute(2, 0, 3, 1, 4)
    return blocks.reshape(1, channels, rows * 2, columns * 2)


def patch(latent: Tensor) -> Tensor:
    """2x2 blocks as features: (1, c, 2 rows, 2 columns) to (1, c * 4, rows, columns)."""
    _, channels, height, width = latent.shape
    blocks = latent.view(1, channels, height // 2, 2, width // 2, 2).permute(0, 1, 3, 5, 2, 4)
    return blocks.reshape(1, channels * 4, height // 2, width // 2)


def unpatch(patches: Tensor) -> Tensor:
    """The inverse of `patch`."""
    _, features, rows, columns = patches.shape
    blocks = patches.reshape(1, features // 4, 2, 2, rows, columns).permute(0, 1, 4, 2, 5, 3)
    return blocks.reshape(1, features // 4, rows * 2, columns * 2)


def _image(picture: Picture) -> Image.Image:
    return Image.frombytes("RGB", (picture.width, picture.height), picture.data)


def _picture(image: Image.Image) -> Picture:
    return Picture(image.width, image.height, image.tobytes())
