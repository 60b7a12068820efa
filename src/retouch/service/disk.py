"""Refusing what is new while the disk is nearly full, so that what was accepted can end."""

import math
import time
from collections.abc import Callable

from retouch.domain.errors import Busy

RETRY_S = 60.0
FRESH_S = 0.1
"""How long a measurement counts."""


class DiskReserve:
    """Keeps some bytes free. `free_bytes` measures, some times a second at most."""

    def __init__(
        self,
        free_bytes: Callable[[], int],
        reserve_bytes: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._free_bytes, self._reserve_bytes = free_bytes, reserve_bytes
        self._monotonic = monotonic
        self._has_room, self._until = False, -math.inf

    def require_room(self) -> None:
        """Raise Busy while less than the reserve is free."""
        now = self._monotonic()
        if now >= self._until:
            self._has_room = self._free_bytes() >= self._reserve_bytes
            self._until = now + FRESH_S
        if not self._has_room:
            raise Busy("its disk is nearly full", RETRY_S)
