"""Linears and convolutions in bfloat16 on processors that cannot multiply it.

Emulated bfloat16 products are many times slower than float32 ones, which every processor has. The
same sum is formed in float32 from the same bfloat16 numbers and rounded to bfloat16 once, as the
format is defined to work; weights stay bfloat16 in memory and are widened while they are used.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouch.engine.families.attention import MARGIN, best_s

FEWEST_ROWS = 16
"""Rows a product is padded to. Libraries take other routes for fewer, with other last bits, and a
request would not come out of a pack as it does alone."""


class WideLinear(nn.Linear):
    """`nn.Linear` with its product in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out), in the input's precision."""
        rows = x.reshape(-1, self.in_features).float()
        count = len(rows)
        if count < FEWEST_ROWS:
            rows = functional.pad(rows, (0, 0, 0, FEWEST_ROWS - count))
        bias = _widened(self.bias)
        product = functional.linear(rows, self.weight.float(), bias)[:count]
        return product.to(x.dtype).view(*x.shape[:-1], self.out_features)


class WideConv2d(nn.Conv2d):
    """`nn.Conv2d` with its product in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """(b, in, height, width) to (b, out, ., .), in the input's precision."""
        bias = _widened(self.bias)
        product: Tensor = self._conv_forward(x.float(), self.weight.float(), bias)
        return product.to(x.dtype)


def widen(model: Any) -> None:
    """Turn a model's plain linears and convolutions into wide ones, in place.

    Quantised ones are not plain: their weights bring products of their own. The others stay
    instances of their classes with the same names and weights, for LoRA and saving.
    """
    for module in model.modules():
        if type(module) is nn.Linear and type(module.weight) is nn.Parameter:
            module.__class__ = WideLinear
        elif type(module) is nn.Conv2d:
            module.__class__ = WideConv2d


def _widened(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.float()


@cache
def pays(dtype: torch.dtype) -> bool:
    """Whether this processor is faster with wide products in a precision, measured once."""
    if dtype == torch.float32:
        return False
    plain = nn.Linear(256, 256).to(dtype)
    wide = nn.Linear(256, 256).to(dtype)
    widen(wide)
    rows = torch.zeros(256, 256, dtype=dtype)
    with torch.inference_mode():
        return best_s(lambda: wide(rows)) * MARGIN < best_s(lambda: plain(rows))
