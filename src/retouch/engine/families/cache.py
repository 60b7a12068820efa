"""A cache of encoded instructions and pictures, by a hash of their content."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T", bound=tuple[Tensor, ...])


class TensorCache:
    """Tensors by key, the least recently used thrown out beyond a bound in bytes.

    What it hands out is shared: nobody may write into it. Any thread may ask; one at a time makes,
    and who asks for what is kept does not wait for that.
    """

    def __init__(self, most_bytes: int) -> None:
        self.size_bytes = 0
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Hashable, tuple[Tensor, ...]] = OrderedDict()
        self._looking, self._making = Lock(), Lock()

    def of(self, key: Hashable, make: Callable[[], T]) -> T:
        """The tensors kept under a key, made when there are none. Nothing is kept if it raises."""
        found = self._find(key)
        if found is None:
            with self._making:
                found = self._find(key)  # another thread may have made it meanwhile
                if found is None:
                    found = make()
                    self._keep(key, found)
        return found  # type: ignore[return-value]  # a key names one kind of content

    def _find(self, key: Hashable) -> tuple[Tensor, ...] | None:
        with self._looking:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, key: Hashable, made: tuple[Tensor, ...]) -> None:
        for tensor in made:
            if tensor.is_cuda:
                # Made on another stream perhaps: whoever finds it must find it done, and its memory
                # waits for the steps' stream before it is used again.
                torch.cuda.current_stream(tensor.device).synchronize()
                tensor.record_stream(torch.cuda.default_stream(tensor.device))
        with self._looking:
            self._kept[key] = made
            self.size_bytes += _bytes(made)
            while self.size_bytes > self._most_bytes:
                _, oldest = self._kept.popitem(last=False)
                self.size_bytes -= _bytes(oldest)


def _bytes(tensors: tuple[Tensor, ...]) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)
