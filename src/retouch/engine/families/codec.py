"""The picture codec of nano: a truncated block cosine transform in place of a learned VAE.

It owns the map between pixels and latents, linear but for a few convolutions that may follow the
decoder, and speaks `AutoencoderKL`'s dialect, so that diffusers' own `FluxKontextPipeline` can
hold it as its `vae`. Scaling to unit variance is part of the map: `scaling_factor` is 1 and
`shift_factor` 0, and a pipeline may apply them without harm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional

BLOCK = 8

# ITU-R BT.601 full range, as in JPEG (ITU-T T.871); rows are Y, Cb, Cr.
YCBCR_FROM_RGB = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)


@dataclass(frozen=True, slots=True)
class PointDistribution:
    """A latent "distribution" with no spread, for callers that ask an `AutoencoderKL` for one."""

    latent: Tensor

    def mode(self) -> Tensor:
        """The latent, (b, c, h/8, w/8)."""
        return self.latent

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """The same latent: a linear codec has nothing to draw."""
        return self.latent


@dataclass(frozen=True, slots=True)
class EncoderOutput:
    """What `DctCodec.encode` answers: `latent_dist.mode()` is the latent."""

    latent_dist: PointDistribution


class Detail(nn.Module):
    """What linear decoding lacks, guessed from the latents around: the dropped coefficients, and
    what a transformer got wrong.

    Residual convolutions on the latents' grid; the last one's output, nothing before training, is
    laid out as pixels.
    """

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.GELU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.GELU(),
                nn.Conv2d(width, width, 3, padding=1),
            )
            for _ in range(blocks)
        )
        self.spread = nn.Conv2d(width, 3 * BLOCK * BLOCK, 3, padding=1)
        for parameter in self.spread.parameters():
            nn.init.zeros_(parameter)

    def forward(self, z: Tensor) -> Tensor:
        """Latents (b, c, h/8, w/8) to what is to be added to their pixels, (b, 3, h, w)."""
        x = self.widen(z)
        for block in self.blocks:
            x = x + block(x)
        return functional.pixel_shuffle(self.spread(functional.gelu(x)), BLOCK)


class DctCodec(ModelMixin, ConfigMixin):  # type: ignore[misc]  # both bases declare config_name
    """8x8 DCT-II of YCbCr (ITU-T T.81 annex A.3.3), low coefficients only, each divided by its own
    scale.

    Latent channels are the first `n_y` coefficients of Y in zigzag order, then `n_cb` of Cb, then
    `n_cr` of Cr. `scales` holds one standard deviation a channel, measured for pixels in [-1, 1].
    Both directions are one strided convolution; with a `detail_width`, a learned `Detail` of so
    many channels adds to what is decoded. `block_out_channels` has four entries only because
    pipelines derive the factor 8 from their number.
    """

    @register_to_config  # type: ignore[untyped-decorator]  # diffusers has no stubs
    def __init__(
        self,
        n_y: int = 16,
        n_cb: int = 4,
        n_cr: int = 4,
        scales: Sequence[float] | None = None,
        latent_channels: int = 24,
        scaling_factor: float = 1.0,
        shift_factor: float = 0.0,
        block_out_channels: Sequence[int] = (24, 24, 24, 24),
        in_channels: int = 3,
        out_channels: int = 3,
        detail_width: int = 0,
        detail_blocks: int = 2,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # diffusers has no stubs
        count = n_y + n_cb + n_cr
        if latent_channels != count:
            raise ValueError(
                f"latent_channels is {latent_channels}, but n_y + n_cb + n_cr is {count}"
            )
        steps = [1.0] * count if scales is None else [float(value) for value in scales]
        if len(steps) != count:
            raise ValueError(f"scales has {len(steps)} entries, but there are {count} channels")
        analysis, synthesis = dct_kernels((n_y, n_cb, n_cr), steps)
        self.analysis = nn.Parameter(analysis, requires_grad=False)
        self.synthesis = nn.Parameter(synthesis, requires_grad=False)
        self.detail = Detail(count, detail_width, detail_blocks) if detail_width else None

    def encode(
        self, x: Tensor, return_dict: bool = True
    ) -> EncoderOutput | tuple[PointDistribution]:
        """Pixels (b, 3, h, w) in [-1, 1], sides multiples of 8, to latents (b, c, h/8, w/8)."""
        latent = functional.conv2d(x, self.analysis, stride=BLOCK)
        distribution = PointDistribution(latent)
        return EncoderOutput(distribution) if return_dict else (distribution,)

    def decode(
        self, z: Tensor, return_dict: bool = True, generator: torch.Generator | None = None
    ) -> DecoderOutput | tuple[Tensor]:
        """Latents (b, c, h/8, w/8) to pixels (b, 3, h, w), about [-1, 1] and not clipped."""
        sample = self._pixels(z)
        return DecoderOutput(sample=sample) if return_dict else (sample,)

    def forward(self, sample: Tensor) -> Tensor:
        """The round trip: what is left of (b, 3, h, w) after encoding and decoding."""
        return self._pixels(functional.conv2d(sample, self.analysis, stride=BLOCK))

    def _pixels(self, z: Tensor) -> Tensor:
        linear = functional.conv_transpose2d(z, self.synthesis, stride=BLOCK)
        return linear if self.detail is None else linear + self.detail(z)


def zigzag(count: int) -> list[tuple[int, int]]:
    """The first `count` (row, column) frequencies of JPEG's zigzag scan (ITU-T T.81 figure A.6)."""
    cells = [(row, column) for row in range(BLOCK) for column in range(BLOCK)]

    def rank(cell: tuple[int, int]) -> tuple[int, int]:
        row, column = cell
        diagonal = row + column
        return diagonal, row if diagonal % 2 else column

    return sorted(cells, key=rank)[:count]


def dct_kernels(counts: tuple[int, int, int], scales: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Analysis and synthesis kernels, both (c, 3, 8, 8), for `conv2d` and `conv_transpose2d` at
    stride 8.
    """
    points = torch.arange(BLOCK, dtype=torch.float64)
    waves = torch.stack([torch.cos(math.pi * (points + 0.5) * k / BLOCK) for k in range(BLOCK)])
    waves = waves * math.sqrt(2 / BLOCK)
    waves[0] /= math.sqrt(2)
    to_ycbcr = torch.tensor(YCBCR_FROM_RGB, dtype=torch.float64)
    to_rgb = torch.linalg.inv(to_ycbcr)
    analysis: list[Tensor] = []
    synthesis: list[Tensor] = []
    for plane, count in enumerate(counts):
        for row, column in zigzag(count):
            scale = scales[len(analysis)]
            wave = torch.outer(waves[row], waves[column])
            analysis.append(to_ycbcr[plane][:, None, None] * wave / scale)
            synthesis.append(to_rgb[:, plane][:, None, None] * wave * scale)
    return torch.stack(analysis).float(), torch.stack(synthesis).float()
