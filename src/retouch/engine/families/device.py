"""Where and in which precision a model runs, its memory, and what happens when it says no."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import get_ident
from typing import Any, cast, get_args

import torch

from retouch.domain.errors import EngineFailed, OutOfMemory, RetouchError
from retouch.engine.families import DType, WeightsError
from retouch.ports import Memory

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


NO_MEMORY = ("out of memory", "STATUS_ALLOC_FAILED")
"""What CUDA and its libraries say where there is no room for what they need beside tensors."""


@contextmanager
def guarded() -> Iterator[None]:
    """No gradients, and every failure of one request as EngineFailed.

    A lost device (torch.AcceleratorError) passes through: no later request would succeed on it
    either, so it must end the worker.
    """
    try:
        with torch.inference_mode():
            yield
    except RetouchError:
        raise
    except Exception as error:  # the boundary between one request and its neighbours
        if _is_full(error):
            raise OutOfMemory("The picture does not fit into the device's memory.") from error
        if "can't allocate memory" in str(error):  # what torch says of main memory
            raise OutOfMemory("The picture does not fit into the machine's memory.") from error
        if isinstance(error, torch.AcceleratorError):
            raise
        raise EngineFailed(f"The model failed: {error}") from error


def _is_full(error: Exception) -> bool:
    """Whether a device had no memory left. Torch raises a type of its own for that only where it
    was about to make a tensor."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in NO_MEMORY)


def finish(device: torch.device) -> None:
    """Wait until a device has done what the steps' thread asked of it.

    CUDA takes orders and works later: who returns at once could not be timed, nor what fails be
    told from what comes after it.
    """
    if device.type == "cuda":
        torch.cuda.default_stream(device).synchronize()


@contextmanager
def beside(device: torch.device) -> Iterator[None]:
    """Work on another thread than the steps': on CUDA on a stream of its own, after what they have
    asked for so far, and done at the end."""
    if device.type != "cuda":
        yield
        return
    stream = _stream_of(device, get_ident())
    stream.wait_stream(torch.cuda.default_stream(device))
    with torch.cuda.stream(stream):
        yield
    stream.synchronize()


@cache
def _stream_of(device: torch.device, _thread: int) -> Any:
    """A thread's own stream, the same each time: what is freed on a stream stays there, and a new
    one would take as much again from the device."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch has no types for it


class DeviceMemory(Memory):
    """The memory of a device as torch and the system tell it."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)

    def free_bytes(self) -> int | None:
        """Bytes that are free or only cached; on a processor, of the machine or its cgroup."""
        if self._device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self._device)
            cached = torch.cuda.memory_reserved(self._device)
            return int(free + cached - torch.cuda.memory_allocated(self._device))
        return main_memory_bytes() if self._device.type == "cpu" else None

    def trim(self) -> None:
        """Return what died and what the allocators keep for later."""
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        elif self._device.type == "mps":
            torch.mps.empty_cache()
        else:
            self.trim_heap()

    def trim_heap(self) -> None:
        """Return the pages between what is in use: what stays of one picture, encoded content in
        the cache, lies among what its steps took, and the allocator by itself only returns what
        lies above all of it."""
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
        if trim is not None:  # glibc's; musl has none
            trim(0)


def main_memory_bytes(
    meminfo: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Free main memory, within the limit of a container; None where the system does not say."""
    try:
        lines = meminfo.read_text().splitlines()
        (available,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError):
        return None
    free_bytes = int(available) * 1024
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit
        return free_bytes
    return max(0, min(free_bytes, limit - used))
