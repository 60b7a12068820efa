"""One forward pass of FLUX.1's transformer for any mix of requests, over diffusers' own modules.

The rows (tokens) of all requests lie one after the other on one axis. Linears, norms and MLPs see
them all at once, modulation is looked up per row from a table with one line per request, and
attention stays inside each request. diffusers' `FluxTransformer2DModel.forward` is the
specification: same modules, same order of roundings. Modules are called as modules, so that LoRA
and quantised layers keep working.

Shapes below: B requests, N rows in all, d the model's width, h heads of D, C features per token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from retouch.engine.families.attention import attend
from retouch.engine.families.rows import (
    Rope,
    Rows,
    bounded,
    heads,
    interleave,
    modulate,
    per_row,
    rotate,
    turns,
)


@dataclass(frozen=True, slots=True)
class Request:
    """What stays the same over the steps of one request; made once, by `prepare`."""

    text: Tensor  # (text tokens, d), embedded
    references: Tensor  # (reference tokens, d), embedded; no rows when there are none
    pooled: Tensor  # (pooled width,)
    rope: Rope  # for [text | target | references]
    target_tokens: int


def prepare(model: Any, tokens: Tensor, pooled: Tensor, references: Tensor, ids: Tensor) -> Request:
    """The constants of a request.

    `tokens` (text tokens, text width) and `pooled` come from the text encoders, `references`
    (reference tokens, C) are packed latents, `ids` (all tokens, 3) the positions in the order
    [text | target | references].
    """
    return Request(
        text=model.context_embedder(tokens),
        references=model.x_embedder(references),
        pooled=pooled,
        rope=turns(*model.pos_embed(ids)),
        target_tokens=len(ids) - len(tokens) - len(references),
    )


def velocity(
    model: Any,
    requests: Sequence[Request],
    latents: Sequence[Tensor],
    timesteps: Tensor,
    guidance: Tensor | None,
) -> list[Tensor]:
    """The velocity of each request's target, (target tokens, C), as its `latents` are.

    `timesteps` (B,) are noise levels in 0..1 in the model's precision, `guidance` (B,) is float32,
    or None for a model without guidance embedding.
    """
    rows = Rows.of(requests, timesteps.device)
    table = _condition(model, requests, timesteps, guidance)
    rope = torch.cat([request.rope for request in requests])
    targets = torch.split(model.x_embedder(torch.cat(list(latents))), rows.targets)
    image = interleave(targets, [request.references for request in requests])
    text = torch.cat([request.text for request in requests])

    for block in model.transformer_blocks:
        text, image = _double(block, text, image, table, rows, rope)
    joint = interleave(torch.split(text, rows.texts), torch.split(image, rows.images))
    *blocks, last = model.single_transformer_blocks
    for block in blocks:
        joint = _single(block, joint, table, rows, rope)
    target = _last(last, joint, table, rows, rope)

    scale, shift = model.norm_out.linear(model.norm_out.silu(table)).chunk(2, dim=1)
    target = modulate(model.norm_out.norm(target), shift, scale, rows.target_of)
    return list(torch.split(model.proj_out(target), rows.targets))


def _condition(
    model: Any, requests: Sequence[Request], timesteps: Tensor, guidance: Tensor | None
) -> Tensor:
    """The modulation table, (B, d): timestep, guidance and pooled text, each x1000 as trained."""
    pooled = torch.stack([request.pooled for request in requests])
    vectors = [timesteps * 1000]
    if guidance is not None:
        vectors.append(guidance.to(timesteps.dtype) * 1000)
    table: Tensor = model.time_text_embed(*vectors, pooled)
    return table


def _double(
    block: Any, text: Tensor, image: Tensor, table: Tensor, rows: Rows, rope: Rope
) -> tuple[Tensor, Tensor]:
    """`FluxTransformerBlock`: two streams with weights of their own that attend to each other."""
    shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = _modulation(block.norm1, table, 6)
    t_shift, t_scale, t_gate, t_mlp_shift, t_mlp_scale, t_mlp_gate = _modulation(
        block.norm1_context, table, 6
    )
    normed = modulate(block.norm1.norm(image), shift, scale, rows.image_of)
    t_normed = modulate(block.norm1_context.norm(text), t_shift, t_scale, rows.text_of)

    attn = block.attn
    query = heads(attn, attn.to_q(normed), attn.norm_q)
    key = heads(attn, attn.to_k(normed), attn.norm_k)
    value = heads(attn, attn.to_v(normed))
    t_query = heads(attn, attn.add_q_proj(t_normed), attn.norm_added_q)
    t_key = heads(attn, attn.add_k_proj(t_normed), attn.norm_added_k)
    t_value = heads(attn, attn.add_v_proj(t_normed))
    query, key, value = (
        interleave(torch.split(of_text, rows.texts), torch.split(of_image, rows.images))
        for of_text, of_image in ((t_query, query), (t_key, key), (t_value, value))
    )
    attended = attend(
        rotate(query, rope), rotate(key, rope), value, rows.joint_spans, rows.joint_spans
    )
    pieces = [piece for pair in zip(rows.texts, rows.images, strict=True) for piece in pair]
    split = torch.split(attended, pieces)
    t_attended, attended = torch.cat(split[0::2]), torch.cat(split[1::2])
    attended = attn.to_out[1](attn.to_out[0](attended))
    t_attended = attn.to_add_out(t_attended)

    image = image + per_row(gate, rows.image_of) * attended
    normed = modulate(block.norm2(image), mlp_shift, mlp_scale, rows.image_of)
    image = image + per_row(mlp_gate, rows.image_of) * block.ff(normed)

    text = text + per_row(t_gate, rows.text_of) * t_attended
    t_normed = modulate(block.norm2_context(text), t_mlp_shift, t_mlp_scale, rows.text_of)
    text = text + per_row(t_mlp_gate, rows.text_of) * block.ff_context(t_normed)
    return bounded(text), image


def _single(block: Any, joint: Tensor, table: Tensor, rows: Rows, rope: Rope) -> Tensor:
    """`FluxSingleTransformerBlock`: one stream, attention and MLP side by side."""
    shift, scale, gate = _modulation(block.norm, table, 3)
    normed = modulate(block.norm.norm(joint), shift, scale, rows.joint_of)
    attn = block.attn
    query = rotate(heads(attn, attn.to_q(normed), attn.norm_q), rope)
    key = rotate(heads(attn, attn.to_k(normed), attn.norm_k), rope)
    value = heads(attn, attn.to_v(normed))
    attended = attend(query, key, value, rows.joint_spans, rows.joint_spans)
    mixed = torch.cat([attended, block.act_mlp(block.proj_mlp(normed))], dim=1)
    return bounded(joint + per_row(gate, rows.joint_of) * block.proj_out(mixed))


def _last(block: Any, joint: Tensor, table: Tensor, rows: Rows, rope: Rope) -> Tensor:
    """`_single` for the target rows only, (target rows, d): nobody reads the others any more."""
    shift, scale, gate = _modulation(block.norm, table, 3)
    normed = modulate(block.norm.norm(joint), shift, scale, rows.joint_of)
    target = normed[rows.target_at]
    attn = block.attn
    query = rotate(heads(attn, attn.to_q(target), attn.norm_q), rope[rows.target_at])
    key = rotate(heads(attn, attn.to_k(normed), attn.norm_k), rope)
    value = heads(attn, attn.to_v(normed))
    attended = attend(query, key, value, rows.target_spans, rows.joint_spans)
    mixed = torch.cat([attended, block.act_mlp(block.proj_mlp(target))], dim=1)
    kept = joint[rows.target_at]
    return bounded(kept + per_row(gate, rows.target_of) * block.proj_out(mixed))


def _modulation(norm: Any, table: Tensor, parts: int) -> tuple[Tensor, ...]:
    return norm.linear(norm.silu(table)).chunk(parts, dim=1)  # type: ignore[no-any-return]
