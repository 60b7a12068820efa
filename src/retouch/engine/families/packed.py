"""One forward pass of FLUX.1's transformer for any mix of requests, over diffusers' own modules.

The rows (tokens) of all requests lie one after the other on one axis. Linears, norms and MLPs see
them all at once, modulation is looked up per row from a table with one line per request, and
attention stays inside each request. diffusers' `FluxTransformer2DModel.forward` is the
specification: same modules, same order of roundings. Modules are called as modules, so that LoRA
and quantised layers keep working.

Shapes below: B requests, N rows in all, d the model's width, h heads of D, C features per token.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from retouch.engine.families.aside import Beside, Look, seen, spans
from retouch.engine.families.attention import Spans, attend
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
    tables: Tensor  # (steps, all modulations), in the order of `_norms`
    widths: tuple[int, ...]  # of each norm's modulations


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
        tables=torch.cat(tables, dim=1),
        widths=tuple(table.shape[1] for table in tables),
    )


def velocity(
    model: Any,
    requests: Sequence[Request],
    latents: Sequence[Tensor],
    steps: Sequence[int],
    blocks: Blocks | None = None,
) -> list[Tensor]:
    """The velocity of each request's target at its step, (target tokens, C), as its `latents` are.

    `steps` count from 0; `blocks` may be `BLOCKS` compiled.
    """
    begun = _begin(model, requests, latents, steps, blocks)
    return _end(model, begun, _go_on(model, _first(model, begun)))


def recalled_velocity(
    model: Any,
    requests: Sequence[Request],
    latents: Sequence[Tensor],
    steps: Sequence[int],
    recalls: Sequence[Recall | None],
    tolerance: float,
    beside: Sequence[Beside] | None = None,
) -> list[Recalled]:
    """`velocity`, approximately: cut short where `recall` says, by this tolerance.

    `beside` is what each request's attention sees and notes beyond its own rows. One that notes
    must have no recall: only a whole pass has all to note.
    """
    begun = _begin(model, requests, latents, steps, beside=beside)
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
    tables: Sequence[Tensor]  # each norm's modulations now, (B, k * d), in the order of `_norms`
    rope: Rope
    text: Tensor
    image: Tensor
    blocks: Blocks
    beside: Sequence[Beside] | None  # of each request; None where all see their own rows only
    spans: Spans  # of the keys attended to

    def look(self, block: int) -> Look | None:
        """How a block, counted over the whole model, sees keys and values."""
        if self.beside is None:
            return None
        return partial(seen, self.beside, block, self.rows, self.spans)


def _begin(
    model: Any,
    requests: Sequence[Request],
    latents: Sequence[Tensor],
    steps: Sequence[int],
    blocks: Blocks | None = None,
    beside: Sequence[Beside] | None = None,
) -> _Pass:
    rows = Rows.of(requests, latents[0].device)
    targets = torch.split(model.x_embedder(joined(latents)), rows.targets)
    lines = [request.tables[step, None] for request, step in zip(requests, steps, strict=True)]
    return _Pass(
        requests=requests,
        rows=rows,
        tables=torch.split(joined(lines), list(requests[0].widths), dim=1),
        rope=joined([request.rope for request in requests]),
        text=joined([request.text for request in requests]),
        image=interleave(targets, [request.references for request in requests]),
        blocks=blocks or BLOCKS,
        beside=beside,
        spans=spans(beside, rows),
    )


def _first(model: Any, begun: _Pass) -> _Pass:
    """After the first double block."""
    return _through(begun, model.transformer_blocks[0], 0)


def _go_on(model: Any, begun: _Pass) -> Tensor:
    """The target rows after all blocks but the first, (target rows, d)."""
    rows, rope = begun.rows, begun.rope
    for number, block in enumerate(model.transformer_blocks[1:], start=1):
        begun = _through(begun, block, number)
    joint = rows.woven(begun.text, begun.image)
    *blocks, last = model.single_transformer_blocks
    doubles = len(model.transformer_blocks)
    *tables, last_table, _ = begun.tables[2 * doubles :]
    for number, (block, table) in enumerate(zip(blocks, tables, strict=True), start=doubles):
        joint = begun.blocks.single(block, joint, table, rows, rope, begun.look(number))
    look = begun.look(doubles + len(blocks))
    return begun.blocks.last(last, joint, last_table, rows, rope, look)


def _through(begun: _Pass, block: Any, number: int) -> _Pass:
    image_table, text_table = begun.tables[2 * number : 2 * number + 2]
    text, image = begun.blocks.double(
        block, begun.text, begun.image, image_table, text_table, begun.rows, begun.rope,
        begun.look(number),
    )  # fmt: skip
    return replace(begun, text=text, image=image)


def _end(model: Any, begun: _Pass, target: Tensor) -> list[Tensor]:
    scale, shift = begun.tables[-1].chunk(2, dim=1)
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
    rows = Rows.of(requests, begun.text.device)
    beside = None if begun.beside is None else [begun.beside[number] for number in numbers]
    return _Pass(
        requests=requests,
        rows=rows,
        tables=[table[list(numbers)] for table in begun.tables],
        rope=joined([request.rope for request in requests]),
        text=joined([texts[number] for number in numbers]),
        image=joined([images[number] for number in numbers]),
        blocks=begun.blocks,
        beside=beside,
        spans=spans(beside, rows),
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


def _seen(
    look: Look | None, rows: Rows, key: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Spans]:
    """The keys and values that are attended to, and whose is whose: a pass's own and no others,
    unless it looks beside."""
    return (key, value, rows.joint_spans) if look is None else look(key, value)


def _double(
    block: Any,
    text: Tensor,
    image: Tensor,
    image_table: Tensor,
    text_table: Tensor,
    rows: Rows,
    rope: Rope,
    look: Look | None = None,
) -> tuple[Tensor, Tensor]:
    """`FluxTransformerBlock`: two streams with weights of their own that attend to each other."""
    shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = image_table.chunk(6, dim=1)
    t_shift, t_scale, t_gate, t_mlp_shift, t_mlp_scale, t_mlp_gate = text_table.chunk(6, dim=1)
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
        rows.woven(*pair) for pair in ((t_query, query), (t_key, key), (t_value, value))
    )
    key, value, within = _seen(look, rows, rotate(key, rope), value)
    attended = attend(rotate(query, rope), key, value, rows.joint_spans, within)
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


def _single(
    block: Any, joint: Tensor, table: Tensor, rows: Rows, rope: Rope, look: Look | None = None
) -> Tensor:
    """`FluxSingleTransformerBlock`: one stream, attention and MLP side by side."""
    shift, scale, gate = table.chunk(3, dim=1)
    normed = modulate(block.norm.norm(joint), shift, scale, rows.joint_of)
    attn = block.attn
    query = rotate(heads(attn, attn.to_q(normed), attn.norm_q), rope)
    key = rotate(heads(attn, attn.to_k(normed), attn.norm_k), rope)
    key, value, within = _seen(look, rows, key, heads(attn, attn.to_v(normed)))
    attended = attend(query, key, value, rows.joint_spans, within)
    mixed = torch.cat([attended, block.act_mlp(block.proj_mlp(normed))], dim=1)
    return bounded(joint + per_row(gate, rows.joint_of) * block.proj_out(mixed))


def _last(
    block: Any, joint: Tensor, table: Tensor, rows: Rows, rope: Rope, look: Look | None = None
) -> Tensor:
    """`_single` for the target rows only, (target rows, d): nobody reads the others any more."""
    shift, scale, gate = table.chunk(3, dim=1)
    normed = modulate(block.norm.norm(joint), shift, scale, rows.joint_of)
    target = normed[rows.target_at]
    attn = block.attn
    query = rotate(heads(attn, attn.to_q(target), attn.norm_q), rope[rows.target_at])
    key = rotate(heads(attn, attn.to_k(normed), attn.norm_k), rope)
    key, value, within = _seen(look, rows, key, heads(attn, attn.to_v(normed)))
    attended = attend(query, key, value, rows.target_spans, within)
    mixed = torch.cat([attended, block.act_mlp(block.proj_mlp(target))], dim=1)
    kept = joint[rows.target_at]
    return bounded(kept + per_row(gate, rows.target_of) * block.proj_out(mixed))


BLOCKS = Blocks(_double, _single, _last)
"""As written."""
