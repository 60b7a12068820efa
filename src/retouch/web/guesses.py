"""Wrong keys, counted by the address they came from, so that trying keys is slow.

Each process counts for itself, in bounded memory: the addresses longest without a wrong key are
forgotten first.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

import structlog

from retouch.domain.errors import Throttled

log = structlog.get_logger(__name__)

ADDRESSES = 10_000
"""How many addresses are remembered."""

TINY_S = 1e-6  # sums of shares are not exact


class Guesses:
    """Lets an address try `per_minute` wrong keys at once, then one as each share of it passes."""

    def __init__(self, per_minute: int = 0, *, now: Callable[[], float] = time.monotonic) -> None:
        """0 a minute counts nothing."""
        self._now, self._every_s = now, 60 / per_minute if per_minute else 0.0
        self._spent_until: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """How many addresses sent a wrong key, of those remembered."""
        return len(self._spent_until)

    def require_patience(self, address: str) -> None:
        """Raise Throttled while this address may not try another key."""
        wait_s = self._wait_s(address)
        if wait_s > 0:
            raise Throttled.guessing(wait_s)

    def count(self, address: str) -> None:
        """A wrong key came from there; from nowhere counts nothing."""
        if not address or not self._every_s:
            return
        until = max(self._spent_until.pop(address, 0.0), self._now())
        self._spent_until[address] = until + self._every_s
        while len(self._spent_until) > ADDRESSES:
            self._spent_until.popitem(last=False)
        if self._wait_s(address) > 0:
            log.warning("keys.guessed", address=address)

    def _wait_s(self, address: str) -> float:
        until = self._spent_until.get(address)
        if until is None:
            return 0.0
        wait_s = until - self._now() - (60.0 - self._every_s)
        return wait_s if wait_s > TINY_S else 0.0
