"""What was computed from the same content before: encoded instructions and pictures."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

from torch import Tensor

T = TypeVar("T", bound=tuple[Tensor, ...])


class TensorCache:
    """Tensors by key, the least recently used thrown out beyond a bound in bytes.

    What it hands out is shared: nobody may write into it. Used from one thread.
    """

    def __init__(self, most_bytes: int) -> None:
        self.size_bytes = 0
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Hashable, tuple[Tensor, ...]] = OrderedDict()

    def of(self, key: Hashable, make: Callable[[], T]) -> T:
        """The tensors kept under a key, made when there are none. Nothing is kept if it raises."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]  # type: ignore[return-value]  # a key names one kind of content
        made = make()
        self._kept[key] = made
        self.size_bytes += _bytes(made)
        while self.size_bytes > self._most_bytes:
            _, oldest = self._kept.popitem(last=False)
            self.size_bytes -= _bytes(oldest)
        return made


def _bytes(tensors: tuple[Tensor, ...]) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)
