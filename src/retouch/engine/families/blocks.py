"""The blocks of a packed pass: as written, or compiled so that the same programs serve any pack."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from retouch.domain.edit import Edit, Size
from retouch.domain.errors import RetouchError
from retouch.ports import Family

log = logging.getLogger(__name__)

EDIT = Edit(prompt="warm up", size=Size(128, 128), seed=0, steps=2)


@dataclass(frozen=True, slots=True)
class Blocks:
    """How each kind of block is called, by a family's packed pass."""

    double: Callable[..., tuple[Tensor, Tensor]]
    single: Callable[..., Tensor]
    last: Callable[..., Tensor]

    def compiled(self, **options: Any) -> "Blocks":
        """Compiled when first called; `options` are `torch.compile`'s.

        Two programs of each kind serve everything: one for a request alone, one for packs of any
        number and sizes. For that, sizes that happen to be equal must not be taken for the same
        size, which is torch's habit.
        """
        from torch.fx.experimental import _config as shapes

        shapes.use_duck_shape = False
        return Blocks(
            torch.compile(self.double, dynamic=True, **options),
            torch.compile(self.single, dynamic=True, **options),
            torch.compile(self.last, dynamic=True, **options),
        )


def compiles(family: Family) -> bool:
    """Make the first steps of small pictures, alone and together, with blocks just compiled.

    What that takes, the first edits need not wait. False, and the reason in the log,
    where the compiler fails: it wants a C++ compiler, on CUDA Triton as well.
    """
    plan = family.plan(EDIT, [], 0)
    try:
        for count in (1, 2):
            family.step([family.open(plan, EDIT, []) for _ in range(count)])
    except RetouchError as error:
        log.warning("blocks_not_compiled: %s", error)
        return False
    return True
