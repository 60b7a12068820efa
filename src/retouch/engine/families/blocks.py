"""The blocks of a packed pass: as written, or compiled so that the same programs serve any pack."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
import torch
from torch import Tensor

from retouch.domain.errors import RetouchError
from retouch.engine.families.aside import Pair

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Blocks:
    """How each kind of block is called, by a packed pass.

    They answer with the rows after them, and with the keys and values they had of their own.
    """

    double: Callable[..., tuple[Tensor, Tensor, Pair]]
    single: Callable[..., tuple[Tensor, Pair]]
    last: Callable[..., tuple[Tensor, Pair]]

    def compiled(self, **options: Any) -> "Blocks":
        """Compiled when first called; `options` are `torch.compile`'s.

        Two programs of each kind serve everything: one for a request alone, one for packs of any
        number and sizes; and two more serve passes that look beside their own rows. For that, sizes
        that happen to be equal must not be taken for the same size, which is torch's habit.
        """
        from torch.fx.experimental import _config as shapes

        shapes.use_duck_shape = False
        return Blocks(
            torch.compile(self.double, dynamic=True, **options),
            torch.compile(self.single, dynamic=True, **options),
            torch.compile(self.last, dynamic=True, **options),
        )


def compiles(rehearse: Callable[[], None]) -> bool:
    """Make the first passes with blocks just compiled. What that takes, the first edits need not
    wait.

    False, and the reason in the log, where the compiler fails: it wants a C++ compiler, on CUDA
    Triton as well.
    """
    try:
        rehearse()
    except RetouchError as error:
        log.warning("engine.blocks_not_compiled", reason=str(error))
        return False
    return True
