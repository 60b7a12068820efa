"""A CUDA device that is not there: its tensors have shapes, types and a place, and no numbers.

Everything on it goes through torch's own fake tensors, which refuse what a device would: tensors of
two devices in one operation, shapes and types that do not fit. What makes the host wait for numbers
is written down, and answered with zeros. Tensors in main memory are real.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.multiprocessing.reductions import StorageWeakRef
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
        self.products: set[torch.dtype] = set()  # the types of what matrix products were made of
        self.peak_bytes = 0  # the most that was held at once beyond what was there
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._held: dict[int, tuple[StorageWeakRef, int]] = {}  # by storage, with its bytes
        self._before: dict[int, tuple[StorageWeakRef, int]] = {}

    def forget(self) -> None:
        """Begin anew to write down; bytes count from here."""
        self.waits.clear()
        self.products.clear()
        self.peak_bytes = 0
        self._before |= self._held
        self._held = {}

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
        if func in PRODUCTS:
            self.products |= {it.dtype for it in args if isinstance(it, Tensor)}
        with self._fake:
            out = func(*tree_map(self._shaped, args), **tree_map(self._shaped, kwargs))
        self._count([it for it in tree_leaves(out) if isinstance(it, Tensor) and it.is_cuda])
        return out

    @staticmethod
    def _shaped(it: Any) -> Any:
        """Without numbers: fakes of single ones would otherwise be computed with."""
        if isinstance(it, FakeTensor):
            it.constant = None
        elif isinstance(it, Tensor):
            return torch.empty_strided(it.shape, it.stride(), dtype=it.dtype, device=it.device)
        return it

    def _count(self, tensors: list[Tensor]) -> None:
        storages = {it.untyped_storage()._cdata: it.untyped_storage() for it in tensors}
        known = (self._held, self._before)
        new = {key: it for key, it in storages.items() if not any(key in each for each in known)}
        if not new:
            return
        self._held = {key: it for key, it in self._held.items() if not it[0].expired()}
        self._held |= {key: (StorageWeakRef(it), it.nbytes()) for key, it in new.items()}
        self.peak_bytes = max(self.peak_bytes, sum(size for _, size in self._held.values()))


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
