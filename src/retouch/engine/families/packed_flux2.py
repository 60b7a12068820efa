"""One forward pass of FLUX.2's transformer for any mix of requests, over diffusers' own modules.

As `packed` does for FLUX.1; diffusers' `Flux2Transformer2DModel.forward` is the specification.
What differs: all blocks of a kind share one modulation, positions have four axes, no pooled text
and no biases, and in single blocks attention and MLP share their projections in and out.

Shapes below: B requests, N rows in all, d the model's width, h heads of D, C features per token.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from retouch.engine.families.attention import attend
from retouch.engine.families.blocks import Blocks
from retouch.engine.families.recall import Recall, Recalled, ended
from retouch.engine.families.rows import (
    Rope,
    Rows,
    bounded,
    heads,
    interleave,
    joined,
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
    rope: Rope  # for [text | target | references]
    target_tokens: int


def prepare(model: Any, tokens: Tensor, references: Tensor, ids: Tensor) -> Request:
    """The constants of a request.

    `tokens` (text tokens, text width) come from the text encoder, `references` (reference tokens,
    C) are packed latents, `ids` (all tokens, 4) the positions in the order
    [text | target | references].
    """
    return Request(
        text=model.context_embedder(tokens),
        references=model.x_embedder(references),
        rope=turns(*model.pos_embed(ids)),
        target_tokens=len(ids) - len(tokens) - len(references),
    )


def velocity(
    model: Any,
    requests: Sequence[Request],
    latents: Sequence[Tensor],
    timesteps: Tensor,
    blocks: Blocks | None = None,
) -> list[Tensor]:
    """The velocity of each request's target, (target tokens, C), as its `latents` are.

    `timesteps` (B,) are noise levels in 0..1 in the model's precision; `blocks` may be `BLOCKS`
    compiled.
    """
    begun = _begin(model, requests, latents, timesteps, blocks)
    return _end(model, begun, _go_on(model, _first(model, begun)))


def recalled_velocity(
    model: Any,
    requests: Sequence[Request],
    latents: Sequence[Tensor],
    timesteps: Tensor,
    recalls: Sequence[Recall | None],
    tolerance: float,
) -> list[Recalled]:
    """`velocity`, approximately: cut short where `recall` says, by this tolerance."""
    begun = _begin(model, requests, latents, timesteps)
    through = _first(model, begun)

    def go_on(numbers: Sequence[int]) -> Sequence[Tensor]:
        part = _part(through, numbers)
        return torch.split(_go_on(model, part), part.rows.targets)

    targets = ended(_targets(begun), _targets(through), recalls, tolerance, go_on)
    velocities = _end(model, begun, joined([each.target for each in targets]))
    return [
        Recalled(each, target.recall, target.is_reused)
        for each, target in zip(velocities, targets, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Pass:
    """A pass under way: its requests' rows between two blocks."""

    requests: Sequence[Request]
    rows: Rows
    conditions: Tensor  # what modulations are made of, (B, d)
    rope: Rope
    text: Tensor
    image: Tensor
    blocks: Blocks


def _begin(
    model: Any,
    requests: Sequence[Request],
    latents: Sequence[Tensor],
    timesteps: Tensor,
    blocks: Blocks | None = None,
) -> _Pass:
    rows = Rows.of(requests, timesteps.device)
    targets = torch.split(model.x_embedder(torch.cat(list(latents))), rows.targets)
    return _Pass(
        requests=requests,
        rows=rows,
        conditions=model.time_guidance_embed(timesteps * 1000, None),
        rope=joined([request.rope for request in requests]),
        text=joined([request.text for request in requests]),
        image=interleave(targets, [request.references for request in requests]),
        blocks=blocks or BLOCKS,
    )


def _first(model: Any, begun: _Pass) -> _Pass:
    """After the first double block."""
    return _through(model, begun, model.transformer_blocks[:1])


def _go_on(model: Any, begun: _Pass) -> Tensor:
    """The target rows after all blocks but the first, (target rows, d)."""
    begun = _through(model, begun, model.transformer_blocks[1:])
    rows, rope, blocks = begun.rows, begun.rope, begun.blocks
    table = model.single_stream_modulation(begun.conditions)
    joint = rows.woven(begun.text, begun.image)
    *singles, last = model.single_transformer_blocks
    for block in singles:
        joint = blocks.single(block, joint, table, rows, rope)
    return blocks.last(last, joint, table, rows, rope)


def _through(model: Any, begun: _Pass, doubles: Iterable[Any]) -> _Pass:
    """After these double blocks."""
    image_table = model.double_stream_modulation_img(begun.conditions)
    text_table = model.double_stream_modulation_txt(begun.conditions)
    text, image = begun.text, begun.image
    for block in doubles:
        text, image = begun.blocks.double(
            block, text, image, text_table, image_table, begun.rows, begun.rope
        )
    return replace(begun, text=text, image=image)


def _end(model: Any, begun: _Pass, target: Tensor) -> list[Tensor]:
    table = model.norm_out.linear(model.norm_out.silu(begun.conditions))
    scale, shift = table.chunk(2, dim=1)
    target = modulate(model.norm_out.norm(target), shift, scale, begun.rows.target_of)
    return list(torch.split(model.proj_out(target), begun.rows.targets))


def _targets(begun: _Pass) -> list[Tensor]:
    """Each request's target rows."""
    images = torch.split(begun.image, begun.rows.images)
    return [image[:count] for image, count in zip(images, begun.rows.targets, strict=True)]


def _part(begun: _Pass, numbers: Sequence[int]) -> _Pass:
    """Some of the requests of a pass."""
    if len(numbers) == len(begun.requests):
        return begun
    requests = [begun.requests[number] for number in numbers]
    texts = torch.split(begun.text, begun.rows.texts)
    images = torch.split(begun.image, begun.rows.images)
    return replace(
        begun,
        requests=requests,
        rows=Rows.of(requests, begun.text.device),
        conditions=begun.conditions[list(numbers)],
        rope=joined([request.rope for request in requests]),
        text=joined([texts[number] for number in numbers]),
        image=joined([images[number] for number in numbers]),
    )


def _double(
    block: Any,
    text: Tensor,
    image: Tensor,
    text_table: Tensor,
    image_table: Tensor,
    rows: Rows,
    rope: Rope,
) -> tuple[Tensor, Tensor]:
    """`Flux2TransformerBlock`: two streams with weights of their own that attend to each other."""
    shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = image_table.chunk(6, dim=1)
    t_shift, t_scale, t_gate, t_mlp_shift, t_mlp_scale, t_mlp_gate = text_table.chunk(6, dim=1)
    normed = modulate(block.norm1(image), shift, scale, rows.image_of)
    t_normed = modulate(block.norm1_context(text), t_shift, t_scale, rows.text_of)

    attn = block.attn
    query = heads(attn, attn.to_q(normed), attn.norm_q)
    key = heads(attn, attn.to_k(normed), attn.norm_k)
    value = heads(attn, attn.to_v(normed))
    t_query = heads(attn, attn.add_q_proj(t_normed), attn.norm_added_q)
    t_key = heads(attn, attn.add_k_proj(t_normed), attn.norm_added_k)
    t_value = heads(attn, attn.add_v_proj(t_normed))
    query, key, value = (
        rows.woven(*pair) for pair in ((t_query, query), (t_key, key), (t_value, value))
    )
    attended = attend(
        rotate(query, rope), rotate(key, rope), value, rows.joint_spans, rows.joint_spans
    )
    t_attended, attended = rows.unwoven(attended)
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
    """`Flux2SingleTransformerBlock`: one stream, attention and MLP side by side."""
    shift, scale, gate = table.chunk(3, dim=1)
    attn = block.attn
    query, key, value, mlp = _projected(
        attn, modulate(block.norm(joint), shift, scale, rows.joint_of)
    )
    attended = attend(
        rotate(query, rope), rotate(key, rope), value, rows.joint_spans, rows.joint_spans
    )
    mixed = torch.cat([attended, attn.mlp_act_fn(mlp)], dim=1)
    return bounded(joint + per_row(gate, rows.joint_of) * attn.to_out(mixed))


def _last(block: Any, joint: Tensor, table: Tensor, rows: Rows, rope: Rope) -> Tensor:
    """`_single` for the target rows only, (target rows, d): nobody reads the others any more.

    The projection in is one module, so it still sees every row.
    """
    shift, scale, gate = table.chunk(3, dim=1)
    attn = block.attn
    query, key, value, mlp = _projected(
        attn, modulate(block.norm(joint), shift, scale, rows.joint_of)
    )
    query = rotate(query[rows.target_at], rope[rows.target_at])
    attended = attend(query, rotate(key, rope), value, rows.target_spans, rows.joint_spans)
    mixed = torch.cat([attended, attn.mlp_act_fn(mlp[rows.target_at])], dim=1)
    kept = joint[rows.target_at]
    return bounded(kept + per_row(gate, rows.target_of) * attn.to_out(mixed))


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
