"""One forward pass of a FLUX transformer for any mix of requests, over diffusers' own modules.

The rows (tokens) of all requests lie one after the other on one axis. Linears, norms and MLPs see
them all at once, modulation is looked up per row from a table with one line per request, and
attention stays inside each request. The `forward` of diffusers' transformers is the specification:
same modules, same order of roundings. Modules are called as modules, so that LoRA and quantised
layers keep working.

What a model makes its requests and blocks of is `packed_flux1` and `packed_flux2`.

Shapes below: B requests, N rows in all, d the model's width, C features per token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from retouch.engine.families.aside import Beside, Look, Pair, Surroundings
from retouch.engine.families.blocks import Blocks
from retouch.engine.families.recall import Recall, Recalled, ended
from retouch.engine.families.rows import Rope, Rows, interleave, joined, modulate


@dataclass(frozen=True, slots=True)
class Modulations:
    """The shifts, scales and gates of a request's rows, for all its steps.

    The norms of a pass are those of image and text in every double block, that of every single
    block, and the head's.
    """

    tables: Tensor  # (steps, all values): one table beside the other
    widths: tuple[int, ...]  # of each table
    order: tuple[int, ...]  # which table each norm of a pass reads

    @classmethod
    def of(cls, tables: Sequence[Tensor], order: Sequence[int]) -> "Modulations":
        """From tables, (steps, k * d) each."""
        widths = tuple(table.shape[1] for table in tables)
        return cls(torch.cat(list(tables), dim=1), widths, tuple(order))

    def split(self, lines: Tensor) -> list[Tensor]:
        """Lines of such tables, (., all values), as the tables that the norms of a pass read."""
        tables = torch.split(lines, list(self.widths), dim=1)
        return [tables[place] for place in self.order]


@dataclass(frozen=True, slots=True)
class Request:
    """Values that stay the same over the steps of one request; made once, by `prepare`."""

    text: Tensor  # (text tokens, d), embedded
    references: Tensor  # (reference tokens, d), embedded; no rows when there are none
    rope: Rope  # for [text | target | references]
    target_tokens: int
    modulations: Modulations


def velocity(
    model: Any,
    blocks: Blocks,
    requests: Sequence[Request],
    latents: Sequence[Tensor],
    steps: Sequence[int],
) -> list[Tensor]:
    """The velocity of each request's target at its step, (target tokens, C), as its `latents` are.

    `steps` count from 0; `blocks` are the model's, as written or compiled.
    """
    begun = _begin(model, blocks, requests, latents, steps)
    return _end(model, begun, _go_on(model, _first(model, begun)))


def recalled_velocity(
    model: Any,
    blocks: Blocks,
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
    begun = _begin(model, blocks, requests, latents, steps, beside)
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
    lines: Tensor  # (B, all values): each request's modulations now
    tables: Sequence[Tensor]  # of each norm, (B, k * d), in the order of a pass
    rope: Rope
    text: Tensor
    image: Tensor
    blocks: Blocks
    around: Surroundings | None  # None where all mind their own rows only

    def look(self, block: int) -> Look | None:
        """What a block, counted over the whole model, sees beyond these rows."""
        return None if self.around is None else self.around.look(block)

    def note(self, own: Pair) -> None:
        """Note the keys and values that a block had of these rows, for those that want them."""
        if self.around is not None:
            self.around.note(self.rows, own)


def _begin(
    model: Any,
    blocks: Blocks,
    requests: Sequence[Request],
    latents: Sequence[Tensor],
    steps: Sequence[int],
    beside: Sequence[Beside] | None = None,
) -> _Pass:
    rows = Rows.of(requests, latents[0].device)
    targets = torch.split(model.x_embedder(joined(latents)), rows.targets)
    lines = torch.stack(
        [each.modulations.tables[step] for each, step in zip(requests, steps, strict=True)]
    )
    return _Pass(
        requests=requests,
        rows=rows,
        lines=lines,
        tables=requests[0].modulations.split(lines),
        rope=joined([request.rope for request in requests]),
        text=joined([request.text for request in requests]),
        image=interleave(targets, [request.references for request in requests]),
        blocks=blocks,
        around=None if beside is None else Surroundings.of(beside, rows),
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
        joint, own = begun.blocks.single(block, joint, table, rows, rope, begun.look(number))
        begun.note(own)
        del own  # the next block needs the room
    look = begun.look(doubles + len(blocks))
    target, own = begun.blocks.last(last, joint, last_table, rows, rope, look)
    begun.note(own)
    return target


def _through(begun: _Pass, block: Any, number: int) -> _Pass:
    image_table, text_table = begun.tables[2 * number : 2 * number + 2]
    text, image, own = begun.blocks.double(
        block, begun.text, begun.image, image_table, text_table, begun.rows, begun.rope,
        begun.look(number),
    )  # fmt: skip
    begun.note(own)
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
    """Some of the requests of a pass, laid out in memory as in a pass of their own: compiled blocks
    tell views from tensors."""
    if len(numbers) == len(begun.requests):
        return begun
    requests = [begun.requests[number] for number in numbers]
    texts = torch.split(begun.text, begun.rows.texts)
    images = torch.split(begun.image, begun.rows.images)
    rows = Rows.of(requests, begun.text.device)
    lines, around = begun.lines[list(numbers)], None
    if begun.around is not None:
        around = Surroundings.of([begun.around.beside[number] for number in numbers], rows)
    return _Pass(
        requests=requests,
        rows=rows,
        lines=lines,
        tables=requests[0].modulations.split(lines),
        rope=joined([request.rope for request in requests]),
        text=torch.cat([texts[number] for number in numbers]),
        image=torch.cat([images[number] for number in numbers]),
        blocks=begun.blocks,
        around=around,
    )
