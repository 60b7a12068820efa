"""Keys and values of rows that a pass leaves out, as an earlier pass had them.

A whole pass notes the keys and values of a request's image rows in every block; later passes carry
only some of these rows, and attention sees the others as they were noted.

Shapes: h heads of D.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from retouch.engine.families.attention import Spans
from retouch.engine.families.rows import Rows, joined

Pair = tuple[Tensor, Tensor]
"""Keys, rotated, and values of the same rows in one block, (rows, h, D) each."""

Look = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Spans]]
"""From a block's own keys and values to those that are attended to."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What a request's attention sees beyond the rows it brings, and where it notes what it saw."""

    aside: Sequence[Pair] = ()  # of each block; none when it brings all rows
    notes: list[Pair] | None = None  # gets a pair of its image rows from each block

    @property
    def is_needed(self) -> bool:
        """Whether it differs from a request that minds its own rows only."""
        return bool(self.aside) or self.notes is not None

    def rows(self) -> int:
        """How many rows it sees beyond its own."""
        return len(self.aside[0][0]) if self.aside else 0


def seen(
    beside: Sequence[Beside], block: int, rows: Rows, spans: Spans, key: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Spans]:
    """Keys and values with those beside them, request by request; notes what is to be noted.

    `key` and `value` are the joint rows' of a pass, in the `block` of that number.
    """
    pairs = []
    own = zip(torch.split(key, rows.joints), torch.split(value, rows.joints), strict=True)
    for (mine, its), text, each in zip(own, rows.texts, beside, strict=True):
        pairs += [(mine, its), *each.aside[block : block + 1]]
        if each.notes is not None:
            # Copies: a view would hold on to the rows of the whole pass.
            each.notes.append((mine[text:].clone(), its[text:].clone()))
    return joined([pair[0] for pair in pairs]), joined([pair[1] for pair in pairs]), spans


def looked(
    look: Look | None, rows: Rows, key: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Spans]:
    """The keys and values that are attended to, and whose is whose: a pass's own and no others,
    unless it looks beside."""
    return (key, value, rows.joint_spans) if look is None else look(key, value)


def spans(beside: Sequence[Beside] | None, rows: Rows) -> Spans:
    """Whose is whose of the keys and values that `seen` gives, or of a pass's own."""
    if beside is None:
        return rows.joint_spans
    lengths = [joint + each.rows() for joint, each in zip(rows.joints, beside, strict=True)]
    return Spans.of(lengths, rows.joint_of.device)


def kept(notes: list[Pair], rows: Tensor) -> tuple[Pair, ...]:
    """Only these rows of what was noted; emptying the notes on the way holds nothing twice."""
    left = []
    while notes:
        keys, values = notes.pop()
        left.append((keys[rows], values[rows]))
    return tuple(reversed(left))


def aside_bytes(model: Any, rows: int) -> int:
    """What the keys and values of so many rows take in all blocks of a model."""
    config = model.config
    width = config.num_attention_heads * config.attention_head_dim
    blocks = len(model.transformer_blocks) + len(model.single_transformer_blocks)
    return int(2 * blocks * rows * width * model.dtype.itemsize)
