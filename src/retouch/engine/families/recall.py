"""Passes cut short: where the first block adds nearly what it added in a request's last whole pass,
all others are taken to add what they added then.

Shapes: C features per token, d the model's width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Recall:
    """The values that the blocks added to the target rows in a request's last whole pass."""

    first: Tensor  # the first block, (target tokens, d)
    rest: Tensor  # all others together, likewise


@dataclass(frozen=True, slots=True)
class Recalled:
    """A pass of a request that may have been cut short."""

    velocity: Tensor  # (target tokens, C)
    recall: Recall | None = None  # for the next one
    is_reused: bool = False  # whether all blocks but the first were recalled


@dataclass(frozen=True, slots=True)
class Ended:
    """The target rows of a request after all blocks, as `Recalled` has their velocity."""

    target: Tensor  # (target tokens, d)
    recall: Recall | None
    is_reused: bool


def ended(
    entered: Sequence[Tensor],
    left: Sequence[Tensor],
    recalls: Sequence[Recall | None],
    tolerance: float,
    go_on: Callable[[Sequence[int]], Sequence[Tensor]],
) -> list[Ended]:
    """The target rows of each request after all blocks, from those before and after the first.

    "Nearly" is a mean absolute change of at most `tolerance` of its mean size. Each request is
    judged by itself; `go_on` takes those of these numbers through the other blocks, in one pass.
    """
    added = [after - before for before, after in zip(entered, left, strict=True)]
    found = [
        Ended(target + recall.rest, recall, True)
        if recall is not None and _change(first, recall.first) <= tolerance
        else None
        for first, target, recall in zip(added, left, recalls, strict=True)
    ]
    whole = [number for number, short in enumerate(found) if short is None]
    for number, target in zip(whole, go_on(whole) if whole else (), strict=True):
        recall = Recall(added[number], target - left[number]) if tolerance else None
        found[number] = Ended(target, recall, False)
    return [each for each in found if each is not None]


def recall_bytes(model: Any, rows: int) -> int:
    """What a request of a model keeps for its next pass, by the rows of its target."""
    config = model.config
    width = config.num_attention_heads * config.attention_head_dim
    return int(2 * rows * width * model.dtype.itemsize)


def _change(now: Tensor, then: Tensor) -> float:
    """How far two tensors are apart, as a part of their size."""
    apart, size = (now - then).abs().mean(), then.abs().mean()
    return (apart / size).item()
