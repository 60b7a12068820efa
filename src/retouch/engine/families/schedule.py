"""The noise schedule of FLUX: which noise levels the steps visit, and the guard around a config.

Same arithmetic in the same precision as diffusers' `FlowMatchEulerDiscreteScheduler` driven by
`FluxKontextPipeline`, whose objects are not needed: one update is one line.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

UNSUPPORTED = (
    "invert_sigmas",
    "shift_terminal",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "stochastic_sampling",
)
"""Options of the scheduler that FLUX.1 checkpoints do not use and that would change the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How far the schedule leans to the noisy side, by the number of TARGET tokens.

    The defaults are those of FLUX.1 [dev] (`scheduler_config.json`).
    """

    use_dynamic_shifting: bool = True
    shift: float = 3.0  # used when shifting is not dynamic
    base_shift: float = 0.5
    max_shift: float = 1.15
    base_image_seq_len: int = 256
    max_image_seq_len: int = 4096
    num_train_timesteps: int = 1000


def parse_shift(config: Mapping[str, Any]) -> Shift:
    """The shift a scheduler's config asks for; raises ValueError for what we do not do."""
    for key in UNSUPPORTED:
        if config.get(key):
            raise ValueError(f"{key} is {config[key]!r}, which is not supported")
    if config.get("time_shift_type", "exponential") != "exponential":
        raise ValueError(f"time_shift_type is {config['time_shift_type']!r}, must be 'exponential'")
    # An absent key has diffusers' default, which for these two differs from FLUX.1 [dev]'s.
    given = {"use_dynamic_shifting": False, "shift": 1.0, **config}
    return Shift(**{key: given[key] for key in Shift.__dataclass_fields__ if key in given})


def mu(target_tokens: int, shift: Shift) -> float:
    """The straight line through (base tokens, base shift) and (max tokens, max shift)."""
    slope = (shift.max_shift - shift.base_shift) / (
        shift.max_image_seq_len - shift.base_image_seq_len
    )
    return target_tokens * slope + (shift.base_shift - slope * shift.base_image_seq_len)


def fitted_mu(target_tokens: int, steps: int) -> float:
    """FLUX.2's: fitted to tokens and steps (black-forest-labs/flux2, sampling.py).

    Two lines in the tokens, for 10 and for 200 steps, and between them a line in the steps; many
    tokens use the second alone.
    """
    many_steps = 0.00016927 * target_tokens + 0.45666666
    if target_tokens > 4300:
        return many_steps
    few_steps = 8.73809524e-05 * target_tokens + 1.89833333
    slope = (many_steps - few_steps) / 190.0
    return slope * steps + (many_steps - 200.0 * slope)


def sigmas(steps: int, target_tokens: int, shift: Shift) -> Float32:
    """FLUX.1's noise levels before each step and after the last, (steps + 1,), from 1 down to 0."""
    return shifted_sigmas(steps, mu(target_tokens, shift), shift)


def shifted_sigmas(steps: int, mu: float, shift: Shift) -> Float32:
    """The same for a `mu` of one's own; a shift that is not dynamic does not look at it."""
    even = np.linspace(1.0, 1 / steps, steps).astype(np.float32)
    if shift.use_dynamic_shifting:
        pull = math.exp(mu)
        shifted = pull / (pull + (1 / even - 1))
    else:
        shifted = shift.shift * even / (1 + (shift.shift - 1) * even)
    return np.append(shifted, np.float32(0)).astype(np.float32)
