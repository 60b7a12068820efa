"""The transformer: diffusers' own FLUX class at a small size, how it starts, and a trimmed forward
pass for training.

Token order, position ids, packing and time scaling follow diffusers 0.42.1
`pipelines/flux/pipeline_flux_kontext.py` and `models/transformers/transformer_flux.py`; positions
are folded, which is nano's own convention (see `retouch.json`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn
from torch.nn import functional

from retouch.engine.families import positions

HEAD = 32
HEADS = 8  # what the looks and the halves take; a smaller network starts without what does not fit
AXES = (8, 12, 12)
# Constants beside the latents in the residual stream. They are large, so that layer norm divides
# every token by about the same number and the network starts nearly linear in its latents, as most
# edits are.
ANCHOR = 3.0


# With folded positions (`retouch.engine.families.positions`) the slowest rotation of an axis tells
# on which side of the centre a token is.
SIGN = 5
SIGN_CHANNELS = tuple(
    AXES[0] + AXES[1] * axis + 2 * SIGN + part for axis in (0, 1) for part in (0, 1)
)
ENERGIES = ((0.22, 0.04, 0, 0), (0.25, 0.06, 0, 0, 0, 0.06), (0.25, 0.06, 0, 0, 0, 0.06))


@dataclass(frozen=True, slots=True)
class Look:
    """Where a head looks: `offset` images further on, at the same place or at its mirror image."""

    offset: int
    flips_h: bool = False
    flips_w: bool = False


FIRST, SECOND = Look(1), Look(2)
MIRROR, FLIP, TURN = Look(1, False, True), Look(1, True, False), Look(1, True, True)
LOOKS = ((FIRST, SECOND), (MIRROR, FLIP), (TURN, SECOND), (FIRST, SECOND), (FIRST, SECOND))
"""The looks of every block in order; blocks beyond these start like the last."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a transformer."""

    latent_channels: int = 24
    double: int = 1
    single: int = 4
    heads: int = 8
    text_width: int = 128
    pooled_width: int = 128


def build(shape: Shape) -> FluxTransformer2DModel:
    """A new transformer of this size, initialised by `initialise`."""
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * shape.latent_channels,
        num_layers=shape.double,
        num_single_layers=shape.single,
        attention_head_dim=HEAD,
        num_attention_heads=shape.heads,
        joint_attention_dim=shape.text_width,
        pooled_projection_dim=shape.pooled_width,
        guidance_embeds=False,
        axes_dims_rope=AXES,
    )
    initialise(model)
    return model


@torch.no_grad()
def initialise(model: FluxTransformer2DModel) -> None:
    """Start where noise passes straight through and some heads already look at their own place
    in each reference.
    """
    features, width = model.config.in_channels, model.inner_dim
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.7 / math.sqrt(module.in_features))
            nn.init.zeros_(module.bias)
    anchors = torch.randint(0, 2, (width - features,)).float().mul(2).sub(1) * ANCHOR
    model.x_embedder.weight.zero_()
    model.x_embedder.weight[:features] = torch.eye(features)
    model.x_embedder.bias[features:] = anchors
    norm = math.sqrt((features + ANCHOR**2 * (width - features)) / width)
    model.proj_out.weight.zero_()
    model.proj_out.weight[:, :features] = torch.eye(features) * norm
    nn.init.zeros_(model.norm_out.linear.weight)
    nn.init.normal_(
        model.context_embedder.weight, std=1 / math.sqrt(model.context_embedder.in_features)
    )
    for block in model.transformer_blocks:
        for modulation in (block.norm1, block.norm1_context):
            _start_modulation(modulation.linear, width, gates=(2, 5))
        _start_attention(block.attn, LOOKS[0])
        block.attn.norm_added_q.weight.fill_(1.5)
        block.attn.norm_added_k.weight.fill_(1.5)
    for number, block in enumerate(model.single_transformer_blocks, start=1):
        _start_modulation(block.norm.linear, width, gates=(2,))
        _start_attention(block.attn, LOOKS[min(number, len(LOOKS) - 1)])
    if model.transformer_blocks and model.config.num_attention_heads >= HEADS:
        mark_halves(model)


def _start_modulation(linear: nn.Linear, width: int, gates: tuple[int, ...]) -> None:
    nn.init.zeros_(linear.weight)
    for gate in gates:
        linear.bias[gate * width : (gate + 1) * width] = 0.2


@torch.no_grad()
def _start_attention(attention: nn.Module, looks: Sequence[Look]) -> None:
    """Each look gets three heads, enough to carry a token's features; the rest look anywhere."""
    attention.norm_q.weight.fill_(1.8)
    attention.norm_k.weight.fill_(1.8)
    for number, look in enumerate(looks):
        for head in range(3 * number, min(3 * number + 3, attention.heads)):
            rows = slice(head * HEAD, (head + 1) * HEAD)
            attention.to_q.bias[rows], attention.to_k.bias[rows] = look_biases(look)
            attention.to_q.weight[rows] *= 0.25
            attention.to_k.weight[rows] *= 0.25


def look_biases(look: Look) -> tuple[Tensor, Tensor]:
    """Query and key biases whose rotary product is largest where `look` looks."""
    query, key = [], []
    for axis, shares in enumerate(ENERGIES):
        for number, share in enumerate(shares):
            length = math.sqrt(share * HEAD)
            angle = 0.0
            if axis == 0:
                angle = look.offset * 10_000 ** (-2 * number / AXES[0])
            elif number == SIGN and (look.flips_h, look.flips_w)[axis - 1]:
                angle = math.pi
            query += [length * math.cos(angle), length * math.sin(angle)]
            key += [length, 0.0]
    return torch.tensor(query), torch.tensor(key)


@torch.no_grad()
def fold(model: FluxTransformer2DModel) -> None:
    """Move a transformer trained on centred positions to folded ones.

    Its heads learn to tell the four mirrored places apart, and the heads of `LOOKS` that it did
    not have begin at nothing.
    """
    width = model.inner_dim
    blocks = [*model.transformer_blocks, *model.single_transformer_blocks]
    for block, looks in zip(blocks, LOOKS, strict=True):
        attention = block.attn
        for number, look in enumerate(looks):
            query, key = look_biases(look)
            is_new = look.flips_h or look.flips_w
            for head in range(3 * number, 3 * number + 3):
                for channel in range(HEAD):
                    row = head * HEAD + channel
                    if not is_new and channel not in SIGN_CHANNELS:
                        continue
                    for linear, bias in ((attention.to_q, query), (attention.to_k, key)):
                        linear.bias[row] = bias[channel]
                        if is_new:
                            linear.weight[row].normal_(std=0.25 * 0.7 / math.sqrt(width))
                        else:
                            linear.weight[row] = 0
                if is_new:
                    block.proj_out.weight[:, head * HEAD : (head + 1) * HEAD] = 0


@torch.no_grad()
def mark_halves(model: FluxTransformer2DModel) -> None:
    """Let every token know its half: heads 6 and 7 of the first block tell right and below.

    Text tokens stand at the centre, so a query on the sign channels alone finds them from the half
    without FOLD and turns away from them in the other half; values of opposite sign say which.
    """
    block, features = model.transformer_blocks[0], model.config.in_channels
    attention = block.attn
    for head, axis in ((6, 2), (7, 1)):
        rows = slice(head * HEAD, (head + 1) * HEAD)
        channel = head * HEAD + AXES[0] + AXES[1] * (axis - 1) + 2 * SIGN
        for name in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj"):
            getattr(attention, name).weight[rows] = 0
            getattr(attention, name).bias[rows] = 0
        attention.to_q.bias[channel] = attention.add_k_proj.bias[channel] = math.sqrt(HEAD)
        attention.to_k.bias[head * HEAD + 4] = math.sqrt(HEAD)  # where the query has nothing
        attention.add_v_proj.bias[head * HEAD] = 1.0
        attention.to_v.bias[head * HEAD] = -1.0
        attention.to_out[0].weight[:, rows] = 0
        told = torch.arange(features + head % 2, model.inner_dim, 2)
        signs = torch.randint(0, 2, told.shape).float().mul(2).sub(1)
        attention.to_out[0].weight[told, head * HEAD] = 2.0 * signs


def pack(latent: Tensor) -> Tensor:
    """(b, c, 2h, 2w) to tokens (b, h*w, 4c), channel-major as FLUX packs them."""
    b, c, h, w = latent.shape
    return (
        latent.view(b, c, h // 2, 2, w // 2, 2)
        .permute(0, 2, 4, 1, 3, 5)
        .reshape(b, h * w // 4, c * 4)
    )


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `pack`; `height` and `width` are the latent's."""
    b, _, features = tokens.shape
    grid = tokens.view(b, height // 2, width // 2, features // 4, 2, 2)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(b, features // 4, height, width)


def position_ids(rows: int, columns: int, images: int) -> Tensor:
    """Float32 ids (n, 3) of the target (t=0) and `images` references (t=1..), folded."""
    grid = (rows, columns)
    return positions.position_ids(0, grid, [grid] * images, layout="index", origin="folded")


def rotations(ids: Tensor, text_length: int) -> Tensor:
    """Rotary factors as complex (n, 1, 16) for text (all zero ids) followed by `ids`."""
    ids = functional.pad(ids, (0, 0, text_length, 0)).double()
    angles = [
        ids[:, axis, None] * 10_000 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
        for axis, size in enumerate(AXES)
    ]
    turned = torch.cat(angles, -1)
    return torch.polar(torch.ones_like(turned), turned).to(torch.complex64)[:, None]


def _heads(x: Tensor, norm: nn.Module | None, turns: Tensor | None) -> Tensor:
    x = x.unflatten(-1, (-1, HEAD))
    if norm is not None:
        x = functional.rms_norm(x, (HEAD,), norm.weight, 1e-6)
    if turns is not None:
        x = rotate(x, turns)
    return x.transpose(1, 2)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def velocity(
    model: FluxTransformer2DModel,
    target: Tensor,
    references: Sequence[Tensor],
    states: Tensor,
    pooled: Tensor,
    time: Tensor,
    turns: Tensor,
) -> Tensor:
    """The model's forward without what training throws away: (b, n_target, features).

    Same numbers as `FluxTransformer2DModel.forward` on [target, references...] cut to the target's
    rows; the last block computes queries and MLP for those rows only. `turns` comes from
    `rotations`.
    """
    length, count = states.shape[1], target.shape[1]
    x = model.x_embedder(torch.cat([target, *references], 1))
    emb = functional.silu(model.time_text_embed(time * 1000, pooled))
    text = model.context_embedder(states)
    for block in model.transformer_blocks:
        text, x = _double(block, text, x, emb, turns)
    x = torch.cat([text, x], 1)
    last = len(model.single_transformer_blocks) - 1
    for number, block in enumerate(model.single_transformer_blocks):
        x = _single(block, x, emb, turns, slice(length, length + count) if number == last else None)
    scale, shift = model.norm_out.linear(emb).chunk(2, 1)
    return model.proj_out(_modulate(x, scale, shift))


def _modulate(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return torch.addcmul(
        shift[:, None], functional.layer_norm(x, x.shape[-1:], eps=1e-6), 1 + scale[:, None]
    )


def _double(
    block: nn.Module, text: Tensor, x: Tensor, emb: Tensor, turns: Tensor
) -> tuple[Tensor, Tensor]:
    shift, scale, gate, shift_2, scale_2, gate_2 = block.norm1.linear(emb).chunk(6, 1)
    c_shift, c_scale, c_gate, c_shift_2, c_scale_2, c_gate_2 = block.norm1_context.linear(
        emb
    ).chunk(6, 1)
    attention, length = block.attn, text.shape[1]
    image, words = _modulate(x, scale, shift), _modulate(text, c_scale, c_shift)
    query = torch.cat(
        [
            _heads(attention.add_q_proj(words), attention.norm_added_q, turns[:length]),
            _heads(attention.to_q(image), attention.norm_q, turns[length:]),
        ],
        2,
    )
    key = torch.cat(
        [
            _heads(attention.add_k_proj(words), attention.norm_added_k, turns[:length]),
            _heads(attention.to_k(image), attention.norm_k, turns[length:]),
        ],
        2,
    )
    value = torch.cat([attention.add_v_proj(words), attention.to_v(image)], 1)
    seen = _attend(query, key, _heads(value, None, None))
    x = torch.addcmul(x, gate[:, None], attention.to_out[0](seen[:, length:]))
    text = torch.addcmul(text, c_gate[:, None], attention.to_add_out(seen[:, :length]))
    x = torch.addcmul(x, gate_2[:, None], block.ff(_modulate(x, scale_2, shift_2)))
    text = torch.addcmul(
        text, c_gate_2[:, None], block.ff_context(_modulate(text, c_scale_2, c_shift_2))
    )
    return text, x


def _single(block: nn.Module, x: Tensor, emb: Tensor, turns: Tensor, rows: slice | None) -> Tensor:
    shift, scale, gate = block.norm.linear(emb).chunk(3, 1)
    attention, full = block.attn, _modulate(x, scale, shift)
    key = _heads(attention.to_k(full), attention.norm_k, turns)
    value = _heads(attention.to_v(full), None, None)
    if rows is not None:
        x, full, turns = x[:, rows], full[:, rows], turns[rows]
    seen = _attend(_heads(attention.to_q(full), attention.norm_q, turns), key, value)
    grown = functional.gelu(block.proj_mlp(full), approximate="tanh")
    return torch.addcmul(x, gate[:, None], block.proj_out(torch.cat([seen, grown], -1)))
