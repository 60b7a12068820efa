"""Frees the leases of workers that went silent, unless it was the database or we who were away."""

from retouch.ports import Clock, Store


class LapsedLeases:
    """Turned every now and then. Any number of them may turn beside each other.

    While the database is away no worker can renew a lease, and while this machine sleeps none
    runs. So after a failed turn, or one that comes far too late, workers get one lease to be
    heard again before anything is taken from them.
    """

    def __init__(self, store: Store, clock: Clock, *, lease_s: float) -> None:
        self._store, self._clock, self._lease_s = store, clock, lease_s
        self._last = self._spare_until = clock.now()

    @property
    def every_s(self) -> float:
        """How often to turn."""
        return self._lease_s / 2

    async def turn(self) -> None:
        """Requeue what silent workers hold; raises what the store raises."""
        now = self._clock.now()
        if now - self._last > self._lease_s + self.every_s:
            self._spare_until = now + self._lease_s
        self._last = now
        try:
            if now < self._spare_until:
                await self._store.depth()  # is it there?
            else:
                await self._store.release()
        except Exception:
            self._spare_until = self._clock.now() + self._lease_s
            raise
