"""Wide products are the format's own: exact sums of bfloat16 numbers, rounded once."""

import pytest
import torch
from torch import nn

from retouch.engine.families import wide


def widened(module):
    module = module.to(torch.bfloat16)
    wide.widen(module)
    return module


@pytest.mark.parametrize("bias", [True, False])
def test_a_wide_linear_rounds_the_true_sum_once(bias):
    linear = widened(nn.Sequential(nn.Linear(64, 48, bias=bias)))[0]
    rows = torch.randn(2, 33, 64, generator=torch.Generator().manual_seed(0)).bfloat16()

    got = linear(rows)

    exact = nn.functional.linear(
        rows.double(), linear.weight.double(), linear.bias.double() if bias else None
    )
    assert type(linear) is wide.WideLinear
    assert got.dtype == torch.bfloat16
    # At most half a unit in the last place, and a breath for sums in float32.
    assert ((got.double() - exact).abs() <= exact.abs() * 2**-8 + 1e-5).all()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 9, 16, 31])
def test_a_row_comes_out_the_same_in_any_company(count):
    linear = widened(nn.Sequential(nn.Linear(512, 256)))[0]
    rows = torch.randn(200, 512, generator=torch.Generator().manual_seed(0)).bfloat16()

    assert torch.equal(linear(rows[50 : 50 + count]), linear(rows)[50 : 50 + count])


def test_a_wide_convolution_rounds_the_true_sum_once():
    conv = widened(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, stride=2)))[0]
    picture = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).bfloat16()

    got = conv(picture)

    exact = nn.functional.conv2d(
        picture.double(), conv.weight.double(), conv.bias.double(), padding=1, stride=2
    )
    assert got.dtype == torch.bfloat16
    assert ((got.double() - exact).abs() <= exact.abs() * 2**-8 + 1e-5).all()


def test_other_modules_stay_as_they_are():
    class Adapted(nn.Linear):
        """A linear of somebody else's, as adapters and quantisers bring."""

    model = nn.Sequential(Adapted(4, 4), nn.LayerNorm(4))

    wide.widen(model)

    assert [type(module) for module in model] == [Adapted, nn.LayerNorm]


def test_float32_needs_no_widening():
    assert wide.pays(torch.float32) is False
