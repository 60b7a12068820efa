"""Silent workers lose their leases; workers that nobody could hear do not."""

import pytest

from retouch.domain.edit import Edit
from retouch.domain.errors import Busy
from retouch.domain.prediction import Prediction
from retouch.ports import Store
from retouch.service.leases import LapsedLeases
from retouch.testing import FakeClock, MemoryStore
from tests.faults.wrappers import Fault, Nth, faulty

LEASE_S = 10.0


class Site:
    """A worker that holds one prediction, and the sweeper of its lease."""

    def __init__(self, plan: Nth) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.leases = LapsedLeases(faulty(self.store, plan, Store), self.clock, lease_s=LEASE_S)

    async def claim(self) -> None:
        await self.store.add(
            Prediction(
                id="a",
                owner="ada",
                protocol="fal",
                model="m",
                input={},
                edit=Edit(prompt="x"),
                created_at=0.0,
            )
        )
        await self.store.claim("w", limit=1, lease_s=LEASE_S)

    async def turns(self, seconds: float) -> None:
        """Let time pass, turning as often as a server does."""
        for _ in range(round(seconds / self.leases.every_s)):
            self.clock.advance(self.leases.every_s)
            await self.leases.turn()

    async def attempt_is_kept(self) -> bool:
        return bool((await self.store.depth())["running"])


NEVER = Nth("release", Fault.REFUSED, nth=10_000)


async def test_a_silent_worker_loses_what_it_holds() -> None:
    site = Site(NEVER)
    await site.claim()

    await site.turns(LEASE_S)

    assert not await site.attempt_is_kept()


async def test_after_an_outage_a_worker_has_one_lease_to_be_heard() -> None:
    site = Site(Nth("release", Fault.REFUSED))
    await site.claim()
    site.clock.advance(LEASE_S)

    with pytest.raises(Busy):
        await site.leases.turn()
    await site.turns(LEASE_S / 2)
    spared = await site.attempt_is_kept()
    await site.store.beat("w", {"a": (1, None)}, lease_s=LEASE_S)
    await site.turns(LEASE_S / 2)
    kept = await site.attempt_is_kept()
    await site.turns(LEASE_S)

    assert spared
    assert kept
    assert not await site.attempt_is_kept()


async def test_an_outage_that_lasts_takes_nothing_from_anybody() -> None:
    site = Site(Nth("depth", Fault.REFUSED))
    await site.claim()
    site.leases._spare_until = site.clock.now() + LEASE_S
    site.clock.advance(LEASE_S / 2)

    with pytest.raises(Busy):
        await site.leases.turn()
    await site.turns(LEASE_S / 2)

    assert await site.attempt_is_kept()


async def test_after_the_machine_slept_a_worker_has_one_lease_to_be_heard() -> None:
    site = Site(NEVER)
    await site.claim()
    site.clock.advance(8 * 3600)

    await site.leases.turn()
    spared = await site.attempt_is_kept()
    await site.turns(LEASE_S)

    assert spared
    assert not await site.attempt_is_kept()
