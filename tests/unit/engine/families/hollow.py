"""A CUDA device that is not there: its tensors have shapes, types and a place, and no numbers.

Everything on it goes through torch's own fake tensors, which refuse what a device would: tensors of
two devices in one operation, shapes and types that do not fit. What makes the host wait for numbers
is written down, and answered with zeros. Tensors in main memory are real.
"""

import ctypes
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = "cuda:0"

aten = torch.ops.aten
SCALARS = (aten._local_scalar_dense.default, aten.is_nonzero.default, aten.item.default)
PRODUCTS = (aten.mm.default, aten.addmm.default, aten.linear.default, aten.bmm.default)

Op = Callable[..., Any]

Wait = Literal["number", "places", "copy"]
"""For one number, for the places of those that are not zero, or for a whole tensor."""


class HollowCuda(TorchDispatchMode):
    """What happens on the device, while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[Wait] = []  # what the host waited for
        self.seen: list[tuple[Op, tuple[Any, ...]]] = []  # what was asked of the device
        self.held_bytes = self.peak_bytes = 0
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._sizes: dict[int, int] = {}

    def forget(self) -> None:
        """Begin anew to write down."""
        self.waits.clear()
        self.seen.clear()
        self.peak_bytes = self.held_bytes

    def products(self) -> set[torch.dtype]:
        """The types of what matrix products were made of."""
        return {
            it.dtype
            for op, args in self.seen
            if op in PRODUCTS
            for it in args
            if isinstance(it, Tensor)
        }

    def __torch_dispatch__(
        self, func: Op, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        comes = any(isinstance(it, Tensor) and it.device.type == "cuda" for it in leaves)
        places = [it.type for it in leaves if isinstance(it, torch.device)]
        if not comes and "cuda" not in places:
            return func(*args, **kwargs)
        if comes and "cpu" in places:
            self.waits.append("copy")
            return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        if func in SCALARS:
            self.waits.append("number")
            return args[0].dtype == torch.bool  # yes, and 0
        if func is aten.nonzero.default:
            self.waits.append("places")
            with self._fake:
                half = args[0].numel() // 2, args[0].dim()
                return torch.empty(half, dtype=torch.long, device=DEVICE)
        self.seen.append((func, args))
        with self._fake:
            out = func(*tree_map(self._shaped, args), **tree_map(self._shaped, kwargs))
        for it in tree_leaves(out):
            if isinstance(it, Tensor) and it.device.type == "cuda":
                self._count(it)
        return out

    @staticmethod
    def _shaped(it: Any) -> Any:
        """Without numbers: fakes of single ones would otherwise be computed with."""
        if isinstance(it, FakeTensor):
            it.constant = None
        elif isinstance(it, Tensor):
            return torch.empty_strided(it.shape, it.stride(), dtype=it.dtype, device=it.device)
        return it

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.held_bytes += storage.nbytes()
            self.peak_bytes = max(self.peak_bytes, self.held_bytes)
            weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self.held_bytes -= self._sizes.pop(key)


class HollowStream:
    """A queue of the device's that is always empty."""

    def __init__(self, device: object = None) -> None:
        self.device = device

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def wait_stream(self, other: object) -> None:
        """Nothing to wait for."""


@contextmanager
def hollow_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[HollowCuda]:
    """Such a device; skips the test where torch cannot be told that there is one."""
    with _guarded():
        monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
        monkeypatch.setattr(torch.cuda, "default_stream", HollowStream)
        monkeypatch.setattr(torch.cuda, "current_stream", HollowStream)
        monkeypatch.setattr(Tensor, "record_stream", lambda *_: None)
        monkeypatch.setattr(Tensor, "pin_memory", lambda self, *_: self)
        with HollowCuda() as cuda:
            yield cuda


@contextmanager
def _guarded() -> Iterator[None]:
    """A build without CUDA refuses even the names of its devices, for it has nothing to make one
    the current device with. Lend it what main memory has for that, which does nothing."""
    library = Path(torch.__file__).parent / "lib" / "libc10.so"
    cpu, cuda = 0, 1
    try:
        guards = (ctypes.c_void_p * 2).in_dll(
            ctypes.CDLL(str(library)), "_ZN3c104impl26device_guard_impl_registryE"
        )
    except (OSError, ValueError) as error:
        pytest.skip(f"no CUDA device can be pretended here: {error}")
    if guards[cuda]:  # a build with CUDA
        yield
        return
    guards[cuda] = guards[cpu]
    try:
        yield
    finally:
        guards[cuda] = None
