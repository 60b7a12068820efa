"""FLUX.2's requests and blocks, for `packed`; the rest of a pass is the same for all FLUX.

diffusers' `Flux2Transformer2DModel.forward` is the specification. What differs from FLUX.1: all
blocks of a kind share one modulation, positions have four axes, no pooled text and no biases, and
in single blocks attention and MLP share their projections in and out.

Shapes below: N rows in all, d the model's width, h heads of D, C features per token.
"""

from typing import Any

import torch
from torch import Tensor

from retouch.engine.families.aside import Look, Pair, seen
from retouch.engine.families.attention import attend
from retouch.engine.families.blocks import Blocks
from retouch.engine.families.packed import Modulations, Request
from retouch.engine.families.rows import (
    Rope,
    Rows,
    bounded,
    heads,
    modulate,
    per_row,
    rotate,
    turns,
)
from retouch.engine.families.streams import two_streams

MODULATIONS = 6 + 6 + 3 + 2
"""Values that `modulations_at` keeps for each step, in model widths."""


def prepare(
    model: Any, tokens: Tensor, references: Tensor, ids: Tensor, modulations: Modulations
) -> Request:
    """The constants of a request: everything that does not see the latents, for all its steps.

    `tokens` (text tokens, text width) come from the text encoder, `references` (reference tokens,
    C) are packed latents, `ids` (all tokens, 4) the positions in the order
    [text | target | references].
    """
    return Request(
        text=model.context_embedder(tokens),
        references=model.x_embedder(references),
        rope=turns(*model.pos_embed(ids)),
        target_tokens=len(ids) - len(tokens) - len(references),
        modulations=modulations,
    )


def modulations_at(model: Any, timesteps: Tensor) -> Modulations:
    """What requests at these noise levels, (steps,) in 0..1 in the model's precision, are modulated
    by, whatever they ask for."""
    condition = model.time_guidance_embed(timesteps * 1000, None)
    head = model.norm_out
    tables = (
        model.double_stream_modulation_img(condition),
        model.double_stream_modulation_txt(condition),
        model.single_stream_modulation(condition),
        head.linear(head.silu(condition)),
    )
    image, text, single, last = range(4)
    doubles = [image, text] * len(model.transformer_blocks)
    singles = [single] * len(model.single_transformer_blocks)
    return Modulations.of(tables, [*doubles, *singles, last])


def _double(block: Any, *streams: Any) -> tuple[Tensor, Tensor, Pair]:
    """`Flux2TransformerBlock`."""
    return two_streams(block, (block.norm1, block.norm1_context), *streams)


def _single(
    block: Any, joint: Tensor, table: Tensor, rows: Rows, rope: Rope, look: Look | None = None
) -> tuple[Tensor, Pair]:
    """`Flux2SingleTransformerBlock`: one stream, attention and MLP side by side."""
    shift, scale, gate = table.chunk(3, dim=1)
    attn = block.attn
    query, key, value, mlp = _projected(
        attn, modulate(block.norm(joint), shift, scale, rows.joint_of)
    )
    own = rotate(key, rope), value
    key, value, within = seen(look, rows, own)
    attended = attend(rotate(query, rope), key, value, rows.joint_spans, within)
    mixed = torch.cat([attended, attn.mlp_act_fn(mlp)], dim=1)
    return bounded(joint + per_row(gate, rows.joint_of) * attn.to_out(mixed)), own


def _last(
    block: Any, joint: Tensor, table: Tensor, rows: Rows, rope: Rope, look: Look | None = None
) -> tuple[Tensor, Pair]:
    """`_single` for the target rows only, (target rows, d): nobody reads the others any more.

    The projection in is one module, so it still sees every row.
    """
    shift, scale, gate = table.chunk(3, dim=1)
    attn = block.attn
    query, key, value, mlp = _projected(
        attn, modulate(block.norm(joint), shift, scale, rows.joint_of)
    )
    query = rotate(query[rows.target_at], rope[rows.target_at])
    own = rotate(key, rope), value
    key, value, within = seen(look, rows, own)
    attended = attend(query, key, value, rows.target_spans, within)
    mixed = torch.cat([attended, attn.mlp_act_fn(mlp[rows.target_at])], dim=1)
    kept = joint[rows.target_at]
    return bounded(kept + per_row(gate, rows.target_of) * attn.to_out(mixed)), own


def _projected(attn: Any, normed: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Query, key and value (N, h, D) and the MLP's input, from one projection."""
    wide = attn.to_qkv_mlp_proj(normed)
    qkv, mlp = wide.split([3 * attn.inner_dim, wide.shape[1] - 3 * attn.inner_dim], dim=1)
    query, key, value = qkv.chunk(3, dim=1)
    return (
        heads(attn, query, attn.norm_q),
        heads(attn, key, attn.norm_k),
        heads(attn, value),
        mlp,
    )


BLOCKS = Blocks(_double, _single, _last)
"""As written."""
