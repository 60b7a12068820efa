"""FLUX.1's requests and blocks, for `packed`; the rest of a pass is the same for all FLUX.

diffusers' `FluxTransformer2DModel.forward` is the specification.

Shapes below: d the model's width, h heads of D, C features per token.
"""

from collections.abc import Iterator
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


def prepare(
    model: Any,
    tokens: Tensor,
    pooled: Tensor,
    references: Tensor,
    ids: Tensor,
    timesteps: Tensor,
    guidance: float | None,
) -> Request:
    """The constants of a request: everything that does not see the latents, for all its steps.

    `tokens` (text tokens, text width) and `pooled` (pooled width,) come from the text encoders,
    `references` (reference tokens, C) are packed latents, `ids` (all tokens, 3) the positions in
    the order [text | target | references]. `timesteps` (steps,) are noise levels in 0..1 in the
    model's precision; `guidance` is None for a model without guidance embedding.
    """
    condition = _condition(model, pooled, timesteps, guidance)
    tables = [norm.linear(norm.silu(condition)) for norm in _norms(model)]
    return Request(
        text=model.context_embedder(tokens),
        references=model.x_embedder(references),
        rope=turns(*model.pos_embed(ids)),
        target_tokens=len(ids) - len(tokens) - len(references),
        modulations=Modulations.of(tables, range(len(tables))),
    )


def modulations(model: Any) -> int:
    """Values that `prepare` keeps for each step of a request, in model widths."""
    return 12 * len(model.transformer_blocks) + 3 * len(model.single_transformer_blocks) + 2


def _norms(model: Any) -> Iterator[Any]:
    """Every norm that is modulated, in the order of a pass."""
    for block in model.transformer_blocks:
        yield from (block.norm1, block.norm1_context)
    yield from (block.norm for block in model.single_transformer_blocks)
    yield model.norm_out


def _condition(model: Any, pooled: Tensor, timesteps: Tensor, guidance: float | None) -> Tensor:
    """What modulations are made of, (steps, d): timestep, guidance and pooled text, the first two
    x1000 as trained."""
    vectors = [timesteps * 1000]
    if guidance is not None:
        strength = torch.full(timesteps.shape, guidance, dtype=torch.float32)
        vectors.append(strength.to(timesteps) * 1000)
    condition: Tensor = model.time_text_embed(*vectors, pooled.expand(len(timesteps), -1))
    return condition


def _double(block: Any, *streams: Any) -> tuple[Tensor, Tensor, Pair]:
    """`FluxTransformerBlock`: its norms are inside those that would modulate too."""
    return two_streams(block, (block.norm1.norm, block.norm1_context.norm), *streams)


def _single(
    block: Any, joint: Tensor, table: Tensor, rows: Rows, rope: Rope, look: Look | None = None
) -> tuple[Tensor, Pair]:
    """`FluxSingleTransformerBlock`: one stream, attention and MLP side by side."""
    shift, scale, gate = table.chunk(3, dim=1)
    normed = modulate(block.norm.norm(joint), shift, scale, rows.joint_of)
    attn = block.attn
    query = rotate(heads(attn, attn.to_q(normed), attn.norm_q), rope)
    key = rotate(heads(attn, attn.to_k(normed), attn.norm_k), rope)
    own = key, heads(attn, attn.to_v(normed))
    key, value, within = seen(look, rows, own)
    attended = attend(query, key, value, rows.joint_spans, within)
    mixed = torch.cat([attended, block.act_mlp(block.proj_mlp(normed))], dim=1)
    return bounded(joint + per_row(gate, rows.joint_of) * block.proj_out(mixed)), own


def _last(
    block: Any, joint: Tensor, table: Tensor, rows: Rows, rope: Rope, look: Look | None = None
) -> tuple[Tensor, Pair]:
    """`_single` for the target rows only, (target rows, d): nobody reads the others any more."""
    shift, scale, gate = table.chunk(3, dim=1)
    normed = modulate(block.norm.norm(joint), shift, scale, rows.joint_of)
    target = normed[rows.target_at]
    attn = block.attn
    query = rotate(heads(attn, attn.to_q(target), attn.norm_q), rope[rows.target_at])
    key = rotate(heads(attn, attn.to_k(normed), attn.norm_k), rope)
    own = key, heads(attn, attn.to_v(normed))
    key, value, within = seen(look, rows, own)
    attended = attend(query, key, value, rows.target_spans, within)
    mixed = torch.cat([attended, block.act_mlp(block.proj_mlp(target))], dim=1)
    kept = joint[rows.target_at]
    return bounded(kept + per_row(gate, rows.target_of) * block.proj_out(mixed)), own


BLOCKS = Blocks(_double, _single, _last)
"""As written."""
