"""The transformer: diffusers' own FLUX class at a small size, how it starts, and a trimmed forward
pass for training.

Token order, position ids, packing and time scaling follow diffusers 0.42.1
`pipelines/flux/pipeline_flux_kontext.py` and `models/transformers/transformer_flux.py`; positions
are centred, which is nano's own convention (see `retouch.json`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn
from torch.nn import functional

HEAD = 32
AXES = (8, 12, 12)
# Constants beside the latents in the residual stream. They are large, so that layer norm divides
# every token by about the same number and the network starts nearly linear in its latents, as most
# edits are.
ANCHOR = 3.0
PLACE_HEADS = 8


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
        _start_attention(block.attn)
        block.attn.norm_added_q.weight.fill_(1.5)
        block.attn.norm_added_k.weight.fill_(1.5)
    for block in model.single_transformer_blocks:
        _start_modulation(block.norm.linear, width, gates=(2,))
        _start_attention(block.attn)
    if model.transformer_blocks and model.config.num_attention_heads >= PLACE_HEADS:
        place(model)


@torch.no_grad()
def place(model: FluxTransformer2DModel) -> None:
    """Set the first block's attention by hand, and freeze it, so that every token knows its place.

    Rotary positions only compare tokens, while a mirror image needs to know how far a token is from
    the centre. Text tokens all sit at the centre: a query of constant content scores them by
    cos(f x + phase), against a constant score for every image token. Eight heads so write the sine
    and the cosine of both coordinates, at the two highest rotary frequencies, into the stream.
    Left to training, this was not found in a thousand steps.
    """
    block, width, features = model.transformer_blocks[0], model.inner_dim, model.config.in_channels
    attention = block.attn
    for norm in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
        getattr(attention, norm).weight.fill_(1.0)
    linears = [attention.to_q, attention.to_k, attention.to_v, attention.to_out[0]]
    linears += [attention.add_q_proj, attention.add_k_proj, attention.add_v_proj]
    for linear in [*linears, attention.to_add_out]:
        linear.weight.zero_()
        linear.bias.zero_()
    span = (width - features) // PLACE_HEADS
    for head in range(PLACE_HEADS):
        first = head * HEAD
        query, words, images = _place_head(head)
        attention.to_q.bias[first : first + HEAD] = query
        attention.add_q_proj.bias[first : first + HEAD] = query
        attention.add_k_proj.bias[first : first + HEAD] = words
        attention.to_k.bias[first : first + HEAD] = images
        attention.add_v_proj.bias[first] = 1.0
        rows = slice(features + head * span, features + (head + 1) * span)
        column = torch.where(torch.arange(span) % 2 == 0, 5.0, -5.0)
        attention.to_out[0].weight[rows, first] = column.to(attention.to_out[0].weight)
        attention.to_out[0].bias[rows] = -0.5 * attention.to_out[0].weight[rows, first]
    block.norm1.linear.weight[2 * width : 3 * width] = 0
    block.norm1.linear.bias[2 * width : 3 * width] = 1.0
    attention.requires_grad_(False)


def _place_head(head: int) -> tuple[Tensor, Tensor, Tensor]:
    """Constant query, text key and image key of one head: axis, frequency and phase by its bits."""
    axis, wave, quarter = head % 2, head // 2 % 2, head // 4
    pair = AXES[0] + AXES[1] * axis + 2 * wave
    phase = -math.pi / 2 * quarter
    query, words, images = torch.zeros(HEAD), torch.zeros(HEAD), torch.zeros(HEAD)
    # Of the energy HEAD that RMS norm gives a vector: a swing of 2 about ln(512 / 24), so that 24
    # text tokens balance the 512 image tokens of one reference at 256x256.
    query[pair], query[pair + 1] = 2.83 * math.cos(phase), 2.83 * math.sin(phase)
    query[6], query[2] = 4.33, 2.30
    words[pair], words[6] = 4.0, 4.0
    images[4] = math.sqrt(HEAD)
    return query, words, images


def _start_modulation(linear: nn.Linear, width: int, gates: tuple[int, ...]) -> None:
    nn.init.zeros_(linear.weight)
    for gate in gates:
        linear.bias[gate * width : (gate + 1) * width] = 0.2


def _start_attention(attention: nn.Module) -> None:
    """Heads 0-2 look at the same place in the next image, 3-5 in the one after, the rest
    anywhere.
    """
    attention.norm_q.weight.fill_(1.8)
    attention.norm_k.weight.fill_(1.8)
    for head in range(min(6, attention.heads)):
        rows = slice(head * HEAD, (head + 1) * HEAD)
        query, key = _same_place(offset=1 if head < 3 else 2)
        attention.to_q.bias[rows], attention.to_k.bias[rows] = query, key
        attention.to_q.weight[rows] *= 0.25
        attention.to_k.weight[rows] *= 0.25


def _same_place(offset: int) -> tuple[Tensor, Tensor]:
    """Query and key biases whose rotary product is largest at equal (h, w) and `offset` images
    further on.
    """
    energies = (
        (0.25, 0.05, 0.0, 0.0),
        (0.27, 0.08, 0.0, 0.0, 0.0, 0.0),
        (0.27, 0.08, 0.0, 0.0, 0.0, 0.0),
    )
    query, key = [], []
    for axis, shares in enumerate(energies):
        turn = offset if axis == 0 else 0
        for number, share in enumerate(shares):
            length = math.sqrt(share * HEAD)
            angle = turn * 10_000 ** (-2 * number / AXES[axis])
            query += [length * math.cos(angle), length * math.sin(angle)]
            key += [length, 0.0]
    return torch.tensor(query), torch.tensor(key)


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
    """Float32 ids (n, 3) of the target (t=0) and `images` references (t=1..), each grid centred
    on zero.
    """
    h = torch.arange(rows, dtype=torch.float32) - (rows - 1) / 2
    w = torch.arange(columns, dtype=torch.float32) - (columns - 1) / 2
    grid = torch.stack(torch.meshgrid(h, w, indexing="ij"), -1).reshape(-1, 2)
    return torch.cat([functional.pad(grid, (1, 0), value=float(t)) for t in range(images + 1)])


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
        x = _rotate(x, turns)
    return x.transpose(1, 2)


def _rotate(x: Tensor, turns: Tensor) -> Tensor:
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
