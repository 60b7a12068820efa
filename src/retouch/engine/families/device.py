"""Where and in which precision a model runs, and what happens when the device says no."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast, get_args

import torch

from retouch.domain.errors import EngineFailed, OutOfMemory, RetouchError
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


def check_device(device: str) -> None:
    """Raise WeightsError unless tensors can live there."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that CUDA was compiled in
        raise WeightsError(f"cannot use the device {device!r}: {error}") from error


@contextmanager
def guarded() -> Iterator[None]:
    """No gradients, and every failure of one request as EngineFailed.

    A lost device (torch.AcceleratorError) passes through: no later request would succeed on it
    either, so it must end the worker.
    """
    try:
        with torch.inference_mode():
            yield
    except (RetouchError, torch.AcceleratorError):
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory("The picture does not fit into the device's memory.") from error
    except Exception as error:  # the boundary between one request and its neighbours
        if "can't allocate memory" in str(error):  # what torch says of main memory
            raise OutOfMemory("The picture does not fit into the machine's memory.") from error
        raise EngineFailed(f"The model failed: {error}") from error
