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
from torch.nn import functional

Rope = tuple[Tensor, Tensor]
"""Cosines and sines per row, each (N, D) in float32."""


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
        rope=model.pos_embed(ids),
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
    rope = (
        torch.cat([request.rope[0] for request in requests]),
        torch.cat([request.rope[1] for request in requests]),
    )
    targets = torch.split(model.x_embedder(torch.cat(list(latents))), rows.targets)
    image = _interleave(targets, [request.references for request in requests])
    text = torch.cat([request.text for request in requests])

    for block in model.transformer_blocks:
        text, image = _double(block, text, image, table, rows, rope)
    joint = _interleave(torch.split(text, rows.texts), torch.split(image, rows.images))
    *blocks, last = model.single_transformer_blocks
    for block in blocks:
        joint = _single(block, joint, table, rows, rope)
    target = _last(last, joint, table, rows, rope)

    scale, shift = model.norm_out.linear(model.norm_out.silu(table)).chunk(2, dim=1)
    target = _modulate(model.norm_out.norm(target), shift, scale, rows.target_of)
    return list(torch.split(model.proj_out(target), rows.targets))


@dataclass(frozen=True, slots=True)
class Rows:
    """Whose row is whose, in the three packings: text, image, and joint [text | image] each."""

    texts: list[int]  # rows per request
    images: list[int]
    targets: list[int]
    joints: list[int]
    text_of: Tensor  # the request of each row
    image_of: Tensor
    target_of: Tensor
    joint_of: Tensor
    target_at: Tensor  # the target rows' places in the joint packing

    @classmethod
    def of(cls, requests: Sequence[Request], device: torch.device) -> "Rows":
        """The packing of these requests in this order."""
        texts = [len(request.text) for request in requests]
        targets = [request.target_tokens for request in requests]
        images = [r.target_tokens + len(r.references) for r in requests]
        joints = [text + image for text, image in zip(texts, images, strict=True)]
        places, start = [], 0
        for text, target, joint in zip(texts, targets, joints, strict=True):
            places.append(torch.arange(start + text, start + text + target))
            start += joint
        return cls(
            texts=texts,
            images=images,
            targets=targets,
            joints=joints,
            text_of=_owners(texts, device),
            image_of=_owners(images, device),
            target_of=_owners(targets, device),
            joint_of=_owners(joints, device),
            target_at=torch.cat(places).to(device),
        )


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
    normed = _modulate(block.norm1.norm(image), shift, scale, rows.image_of)
    t_normed = _modulate(block.norm1_context.norm(text), t_shift, t_scale, rows.text_of)

    attn = block.attn
    query = _heads(attn, attn.to_q(normed), attn.norm_q)
    key = _heads(attn, attn.to_k(normed), attn.norm_k)
    value = _heads(attn, attn.to_v(normed))
    t_query = _heads(attn, attn.add_q_proj(t_normed), attn.norm_added_q)
    t_key = _heads(attn, attn.add_k_proj(t_normed), attn.norm_added_k)
    t_value = _heads(attn, attn.add_v_proj(t_normed))
    query, key, value = (
        _interleave(torch.split(of_text, rows.texts), torch.split(of_image, rows.images))
        for of_text, of_image in ((t_query, query), (t_key, key), (t_value, value))
    )
    attended = _attend(_rotate(query, rope), _rotate(key, rope), value, rows.joints, rows.joints)
    pieces = [piece for pair in zip(rows.texts, rows.images, strict=True) for piece in pair]
    split = torch.split(attended, pieces)
    t_attended, attended = torch.cat(split[0::2]), torch.cat(split[1::2])
    attended = attn.to_out[1](attn.to_out[0](attended))
    t_attended = attn.to_add_out(t_attended)

    image = image + _of(gate, rows.image_of) * attended
    normed = _modulate(block.norm2(image), mlp_shift, mlp_scale, rows.image_of)
    image = image + _of(mlp_gate, rows.image_of) * block.ff(normed)

    text = text + _of(t_gate, rows.text_of) * t_attended
    t_normed = _modulate(block.norm2_context(text), t_mlp_shift, t_mlp_scale, rows.text_of)
    text = text + _of(t_mlp_gate, rows.text_of) * block.ff_context(t_normed)
    return _bounded(text), image


def _single(block: Any, joint: Tensor, table: Tensor, rows: Rows, rope: Rope) -> Tensor:
    """`FluxSingleTransformerBlock`: one stream, attention and MLP side by side."""
    shift, scale, gate = _modulation(block.norm, table, 3)
    normed = _modulate(block.norm.norm(joint), shift, scale, rows.joint_of)
    attn = block.attn
    query = _rotate(_heads(attn, attn.to_q(normed), attn.norm_q), rope)
    key = _rotate(_heads(attn, attn.to_k(normed), attn.norm_k), rope)
    value = _heads(attn, attn.to_v(normed))
    attended = _attend(query, key, value, rows.joints, rows.joints)
    mixed = torch.cat([attended, block.act_mlp(block.proj_mlp(normed))], dim=1)
    return _bounded(joint + _of(gate, rows.joint_of) * block.proj_out(mixed))


def _last(block: Any, joint: Tensor, table: Tensor, rows: Rows, rope: Rope) -> Tensor:
    """`_single` for the target rows only, (target rows, d): nobody reads the others any more."""
    shift, scale, gate = _modulation(block.norm, table, 3)
    normed = _modulate(block.norm.norm(joint), shift, scale, rows.joint_of)
    target = normed[rows.target_at]
    target_rope = (rope[0][rows.target_at], rope[1][rows.target_at])
    attn = block.attn
    query = _rotate(_heads(attn, attn.to_q(target), attn.norm_q), target_rope)
    key = _rotate(_heads(attn, attn.to_k(normed), attn.norm_k), rope)
    value = _heads(attn, attn.to_v(normed))
    attended = _attend(query, key, value, rows.targets, rows.joints)
    mixed = torch.cat([attended, block.act_mlp(block.proj_mlp(target))], dim=1)
    kept = joint[rows.target_at]
    return _bounded(kept + _of(gate, rows.target_of) * block.proj_out(mixed))


def _attend(
    query: Tensor, key: Tensor, value: Tensor, queries: list[int], keys: list[int]
) -> Tensor:
    """Attention inside each request: (query rows, h, D) against (key rows, h, D), to (., h * D)."""
    queried, keyed, valued = (x.transpose(0, 1)[None] for x in (query, key, value))
    attended = [
        functional.scaled_dot_product_attention(*parts)
        for parts in zip(
            torch.split(queried, queries, dim=2),
            torch.split(keyed, keys, dim=2),
            torch.split(valued, keys, dim=2),
            strict=True,
        )
    ]
    return torch.cat([part[0].transpose(0, 1).flatten(1) for part in attended])


def _rotate(x: Tensor, rope: Rope) -> Tensor:
    """Rotary embedding of (rows, h, D) in float32, on pairs of neighbours."""
    real, imaginary = x.view(*x.shape[:-1], -1, 2).unbind(-1)
    turned = torch.stack([-imaginary, real], dim=-1).flatten(-2)
    return (x.float() * rope[0][:, None] + turned.float() * rope[1][:, None]).to(x.dtype)


def _heads(attn: Any, x: Tensor, norm: Any = None) -> Tensor:
    x = x.view(len(x), -1, attn.head_dim)
    return x if norm is None else norm(x)


def _modulation(norm: Any, table: Tensor, parts: int) -> tuple[Tensor, ...]:
    return norm.linear(norm.silu(table)).chunk(parts, dim=1)  # type: ignore[no-any-return]


def _modulate(x: Tensor, shift: Tensor, scale: Tensor, owner: Tensor) -> Tensor:
    return x * _of(1 + scale, owner) + _of(shift, owner)


def _of(table: Tensor, owner: Tensor) -> Tensor:
    """Each row's own line of a (B, d) table; a single line is left to broadcast."""
    return table if len(table) == 1 else table[owner]


def _owners(counts: list[int], device: torch.device) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)).to(device)


def _interleave(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """[first of request 1 | second of request 1 | first of request 2 ...]."""
    return torch.cat([part for pair in zip(first, second, strict=True) for part in pair])


def _bounded(x: Tensor) -> Tensor:
    return x.clip(-65504, 65504) if x.dtype == torch.float16 else x
