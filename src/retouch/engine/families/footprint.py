"""How much memory a picture takes beside the weights, estimated before any of it is allocated.

Counted from the shapes the forward pass and the decoder make, at their widest place, and rounded
up: admission wants to be wrong on the safe side, and what it still misses ends as OutOfMemory.
"""

from dataclasses import replace
from typing import Any

from retouch.ports import Plan

PASS_WIDTHS = 28
"""Values a token takes at the widest place of a pass, in model widths: a single-stream block with
its queries, keys, values, their float32 rotations, and an MLP of four widths, twice."""

DECODED_LAYERS = 8
"""Layers of its first width a decoder has alive at full resolution: a residual block's input and
output at twice that width, and what a convolution makes of them."""

FLOAT32 = 4


def with_footprint(plan: Plan, model: Any, vae: Any, modulations: int = 0) -> Plan:
    """The plan with what its session will hold and the most a stage takes on top.

    `modulations` are what it keeps for each step, in model widths.
    """
    config = model.config
    width, itemsize = config.num_attention_heads * config.attention_head_dim, model.dtype.itemsize
    embedded = plan.tokens * width * itemsize
    rotary = plan.tokens * config.attention_head_dim * 2 * FLOAT32
    channels = vae.config.get("block_out_channels", (vae.config.get("in_channels", 3),))[0]
    pixels = max(size.width * size.height for size in (plan.size, *plan.references))
    decoding = pixels * channels * DECODED_LAYERS * vae.dtype.itemsize
    return replace(
        plan,
        held_bytes=embedded + rotary + plan.steps * modulations * width * itemsize,
        peak_bytes=max(PASS_WIDTHS * embedded, decoding),
    )
