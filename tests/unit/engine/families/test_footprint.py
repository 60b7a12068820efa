from dataclasses import replace
from types import SimpleNamespace

import torch

from retouch.domain.edit import Size
from retouch.engine.families.footprint import with_footprint
from retouch.ports import Plan

PLAN = Plan(
    size=Size(1024, 1024), references=(), steps=28, guidance=2.5, seed=0, tokens=512 + 2 * 4096
)
KONTEXT = SimpleNamespace(
    config=SimpleNamespace(num_attention_heads=24, attention_head_dim=128), dtype=torch.bfloat16
)
CODEC = SimpleNamespace(config={"block_out_channels": (128, 256, 512, 512)}, dtype=torch.bfloat16)


def test_the_full_size_model_is_estimated_in_the_right_order():
    plan = with_footprint(PLAN, KONTEXT, CODEC)

    assert 50e6 < plan.held_bytes < 100e6
    assert 1e9 < plan.peak_bytes < 4e9


def test_smaller_pictures_and_fewer_tokens_need_less():
    large = with_footprint(PLAN, KONTEXT, CODEC)
    small = with_footprint(replace(PLAN, size=Size(512, 512), tokens=2560), KONTEXT, CODEC)

    assert small.held_bytes < large.held_bytes
    assert small.peak_bytes < large.peak_bytes


def test_a_codec_without_layers_counts_its_pixels():
    plan = with_footprint(PLAN, KONTEXT, SimpleNamespace(config={}, dtype=torch.float32))

    assert plan.peak_bytes > 0
