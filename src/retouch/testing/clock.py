"""A clock for tests."""

from retouch.ports import Clock


class FakeClock(Clock):
    """Time that passes only when told to."""

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self._start = self._now = now

    def now(self) -> float:
        """UTC seconds since 1970."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since this clock was made."""
        return self._now - self._start

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
