"""Keys and values of rows that a pass leaves out, as an earlier pass had them.

A whole pass notes the keys and values of a request's image rows in every block; later passes carry
only some of these rows, and attention sees the others as they were noted.

Shapes: h heads of D.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from retouch.engine.families.attention import Spans
from retouch.engine.families.rows import Rows, joined

Pair = tuple[Tensor, Tensor]
"""Keys, rotated, and values of the same rows in one block, (rows, h, D) each."""

OWN, ASIDE = range(2)
"""The kinds of rows that attention sees, in the order it sees a request's."""


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


@dataclass(frozen=True, slots=True)
class Look:
    """What the attention of a block sees beyond the rows of a pass. Data only: it goes into
    compiled blocks."""

    aside: Pair  # of all requests
    places: Tensor  # in [all own | all aside], of what is seen request by request
    spans: Spans  # of that
    is_alone: bool  # one request: it is in order already

    def widened(self, own: Tensor, aside: Tensor) -> Tensor:
        """A pass's own rows and those beside them, request by request."""
        both = torch.cat([own, aside])
        return both if self.is_alone else both[self.places]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the requests of a pass see beyond its rows, and what they note of them."""

    beside: Sequence[Beside]
    places: Tensor  # as `Look` has them
    spans: Spans

    @classmethod
    def of(cls, beside: Sequence[Beside], rows: Rows) -> "Surroundings":
        """For the requests of these rows."""
        device = rows.joint_of.device
        asides = [each.rows() for each in beside]
        kinds = torch.tensor([OWN, ASIDE]).repeat(len(beside))
        kind = torch.repeat_interleave(kinds, torch.tensor([rows.joints, asides]).T.flatten())
        apart = torch.cat([(kind == OWN).nonzero()[:, 0], (kind == ASIDE).nonzero()[:, 0]])
        lengths = [own + aside for own, aside in zip(rows.joints, asides, strict=True)]
        return cls(beside, apart.argsort().to(device), Spans.of(lengths, device))

    def look(self, block: int) -> Look | None:
        """What a block, counted over the whole model, sees; None where it is the pass's rows."""
        asides = [each.aside[block] for each in self.beside if each.aside]
        if not asides:
            return None
        keys, values = zip(*asides, strict=True)
        return Look((joined(keys), joined(values)), self.places, self.spans, len(self.beside) == 1)

    def note(self, rows: Rows, own: Pair) -> None:
        """Note what a block had of the image rows of those that want it noted."""
        pairs = zip(*(torch.split(each, rows.joints) for each in own), strict=True)
        for (keys, values), text, each in zip(pairs, rows.texts, self.beside, strict=True):
            if each.notes is not None:
                # Copies: a view would hold on to the rows of the whole pass.
                each.notes.append((keys[text:].clone(), values[text:].clone()))


def seen(look: Look | None, rows: Rows, own: Pair) -> tuple[Tensor, Tensor, Spans]:
    """The keys and values that a block attends to, and whose is whose: its own, and those beside
    them where it looks there."""
    if look is None:
        return *own, rows.joint_spans
    (key, value), (aside_key, aside_value) = own, look.aside
    return look.widened(key, aside_key), look.widened(value, aside_value), look.spans


def kept(notes: list[Pair], rows: Tensor) -> tuple[Pair, ...]:
    """Only these rows of what was noted; emptying the notes on the way holds nothing twice."""
    left = []
    while notes:
        keys, values = notes.pop()
        left.append((keys[rows], values[rows]))
    return tuple(reversed(left))


def aside_bytes(model: Any, rows: int) -> int:
    """The bytes that the keys and values of so many rows take in all blocks of a model."""
    config = model.config
    width = config.num_attention_heads * config.attention_head_dim
    blocks = len(model.transformer_blocks) + len(model.single_transformer_blocks)
    return int(2 * blocks * rows * width * model.dtype.itemsize)
