"""The rows (tokens) of several requests on one axis: whose is whose, and what looks that up.

Shared by the packed forwards of the families. Attention stays inside each request; everything else
sees all rows at once. Shapes: B requests, N rows, h heads of D, d features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from retouch.engine.families.attention import Spans

Rope = Tensor
"""A cosine and a sine for each pair of channels of each row, (N, D / 2, 2) in float32."""


TEXT, TARGET, REFERENCE = range(3)
"""The kinds of rows, in the order a request brings them."""


class Rowed(Protocol):
    """A request that brings rows: [text | target | references]."""

    @property
    def text(self) -> Tensor:
        """(text tokens, d)."""

    @property
    def references(self) -> Tensor:
        """(reference tokens, d)."""

    @property
    def target_tokens(self) -> int:
        """Rows of the picture being made."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Whose row is whose, in the three packings: text, image, and joint [text | image] each."""

    texts: list[int]  # rows per request
    images: list[int]
    targets: list[int]
    joints: list[int]
    target_spans: Spans  # for attention
    joint_spans: Spans
    text_of: Tensor  # the request of each row
    image_of: Tensor
    target_of: Tensor
    joint_of: Tensor
    text_at: Tensor  # the text rows' places in the joint packing
    image_at: Tensor
    target_at: Tensor
    joint_from: Tensor  # the joint rows' places in [all text | all images]
    is_alone: bool  # one request: its rows are in order already

    @classmethod
    def of(cls, requests: Sequence[Rowed], device: torch.device) -> "Rows":
        """The packing of these requests in this order."""
        texts = [len(request.text) for request in requests]
        targets = [request.target_tokens for request in requests]
        others = [len(request.references) for request in requests]
        images = [target + other for target, other in zip(targets, others, strict=True)]
        joints = [text + image for text, image in zip(texts, images, strict=True)]
        kinds = torch.tensor([TEXT, TARGET, REFERENCE]).repeat(len(requests))
        counts = torch.tensor([texts, targets, others]).T.flatten()
        kind = torch.repeat_interleave(kinds, counts)
        text_at, image_at = (kind == TEXT).nonzero()[:, 0], (kind != TEXT).nonzero()[:, 0]
        return cls(
            texts=texts,
            images=images,
            targets=targets,
            joints=joints,
            target_spans=Spans.of(targets, device),
            joint_spans=Spans.of(joints, device),
            text_of=owners(texts, device),
            image_of=owners(images, device),
            target_of=owners(targets, device),
            joint_of=owners(joints, device),
            text_at=text_at.to(device),
            image_at=image_at.to(device),
            target_at=(kind == TARGET).nonzero()[:, 0].to(device),
            joint_from=torch.cat([text_at, image_at]).argsort().to(device),
            is_alone=len(requests) == 1,
        )

    def woven(self, text: Tensor, image: Tensor) -> Tensor:
        """Text and image rows in the joint packing."""
        both = torch.cat([text, image])
        return both if self.is_alone else both[self.joint_from]

    def unwoven(self, joint: Tensor) -> tuple[Tensor, Tensor]:
        """Text and image rows out of the joint packing."""
        if self.is_alone:
            count = self.text_of.shape[0]
            return joint[:count], joint[count:]
        return joint[self.text_at], joint[self.image_at]


def turns(cosines: Tensor, sines: Tensor) -> Rope:
    """A rope from diffusers' two tables, (N, D) each, that name every angle twice."""
    return torch.stack([cosines[:, ::2], sines[:, ::2]], dim=-1)


def rotate(x: Tensor, rope: Rope) -> Tensor:
    """Rotary embedding of (rows, h, D) in float32, on pairs of neighbours."""
    pairs = x.float().view(*x.shape[:-1], -1, 2)
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        # One pass as complex numbers; compilers know only real ones.
        turned = torch.view_as_complex(pairs) * torch.view_as_complex(rope)[:, None]
        return torch.view_as_real(turned).flatten(-2).to(x.dtype)
    (real, imaginary), (cosine, sine) = pairs.unbind(-1), rope[:, None].unbind(-1)
    along = real * cosine - imaginary * sine
    across = imaginary * cosine + real * sine
    return torch.stack([along, across], dim=-1).flatten(-2).to(x.dtype)


def heads(attn: Any, x: Tensor, norm: Any = None) -> Tensor:
    """Features (rows, h * D) cut into heads (rows, h, D), normed when there is a norm."""
    x = x.view(x.shape[0], -1, attn.head_dim)
    return x if norm is None else norm(x)


def modulate(x: Tensor, shift: Tensor, scale: Tensor, owner: Tensor) -> Tensor:
    """Scaled and shifted, (rows, d), by each row's own line of the (B, d) tables."""
    return x * per_row(1 + scale, owner) + per_row(shift, owner)


def per_row(table: Tensor, owner: Tensor) -> Tensor:
    """Each row's own line of a (B, d) table; a single line is left to broadcast."""
    return table if table.shape[0] == 1 else table[owner]


def owners(counts: list[int], device: torch.device) -> Tensor:
    """The request of each row, (rows,), for this many rows a request."""
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)).to(device)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """One after the other; a single part is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def interleave(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """[first of request 1 | second of request 1 | first of request 2 ...]."""
    return torch.cat([part for pair in zip(first, second, strict=True) for part in pair])


def bounded(x: Tensor) -> Tensor:
    """Kept in range in float16, where sums overflow."""
    return x.clip(-65504, 65504) if x.dtype == torch.float16 else x
