"""Where and in which precision a model runs when the operator leaves it open."""

from typing import cast, get_args

import torch

from retouch.engine.families import DType, WeightsError

AUTO = "auto"


def choose(device: str, dtype: str) -> tuple[str, DType]:
    """The device and precision to load with; `auto` takes the best there is.

    On an accelerator that is bfloat16, the precision of the published weights; on a processor
    float32, since most processors only emulate bfloat16. Raises WeightsError for a precision
    that is none of ours.
    """
    chosen = _best_device() if device == AUTO else device
    if dtype == AUTO:
        return chosen, "float32" if chosen == "cpu" else "bfloat16"
    if dtype not in get_args(DType):
        known = ", ".join((AUTO, *get_args(DType)))
        raise WeightsError(f"the dtype is {dtype!r}; known: {known}")
    return chosen, cast("DType", dtype)


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
