"""Refusing what is new while the disk is nearly full, so that what was accepted can end."""

from collections.abc import Callable

from retouch.domain.errors import Busy

RETRY_S = 60.0


class DiskReserve:
    """Keeps some bytes free. `free_bytes` measures, and is asked at every call."""

    def __init__(self, free_bytes: Callable[[], int], reserve_bytes: int) -> None:
        self._free_bytes, self._reserve_bytes = free_bytes, reserve_bytes

    def require_room(self) -> None:
        """Raise Busy while less than the reserve is free."""
        if self._free_bytes() < self._reserve_bytes:
            raise Busy("its disk is nearly full", RETRY_S)
