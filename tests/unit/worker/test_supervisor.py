"""The supervisor over children that are plain objects with a pipe for a sentinel."""

import asyncio
import os
from itertools import pairwise

from retouch.domain.prediction import Loss
from retouch.testing import FakeClock
from retouch.worker import Supervisor
from retouch.worker.supervisor import Backoff


class FakeChild:
    """A process that ends when told to."""

    def __init__(self, *, was_ready: bool = True) -> None:
        self.sentinel, self._alive = os.pipe()
        self.pid, self.exitcode, self.was_ready = 1, None, was_ready
        self.signals: list[str] = []

    def die(self, code: int = -9) -> None:
        if self.exitcode is None:
            self.exitcode = code
            os.close(self._alive)

    def terminate(self) -> None:
        self.signals.append("terminate")
        self.die(0)

    def kill(self) -> None:
        self.signals.append("kill")
        self.die(-9)

    def join(self, timeout: float | None = None) -> None:
        os.close(self.sentinel)


class Stubborn(FakeChild):
    """Ignores a polite request."""

    def terminate(self) -> None:
        self.signals.append("terminate")


class Nursery:
    """Counts births and releases, and lets a test wait for the next birth."""

    def __init__(self, kind: type[FakeChild] = FakeChild) -> None:
        self.kind = kind
        self.history: list[str] = []
        self.births: asyncio.Queue[FakeChild] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def spawn(self) -> FakeChild:
        child = self.kind()
        self.history.append("spawn")
        self._loop.call_soon_threadsafe(self.births.put_nowait, child)
        return child

    async def release(self, loss: Loss) -> None:
        self.history.append(f"release what was {loss}")

    def supervisor(self, grace_s: float = 5.0) -> Supervisor:
        backoff = Backoff(first_s=0.001)
        return Supervisor(
            self.spawn, self.release, clock=FakeClock(), backoff=backoff, grace_s=grace_s
        )

    async def born(self) -> FakeChild:
        return await asyncio.wait_for(self.births.get(), 5)


async def test_a_dead_worker_is_replaced_and_its_leases_freed_first() -> None:
    nursery = Nursery()
    supervisor = nursery.supervisor()
    await supervisor.start()

    (await nursery.born()).die()
    await nursery.born()
    await supervisor.stop()

    assert nursery.history[:2] == ["release what was restarted", "spawn"]
    assert nursery.history[2] == "release what was crashed"
    assert "spawn" in nursery.history[3:]


async def test_stop_drains_the_worker_and_is_safe_twice() -> None:
    nursery = Nursery()
    supervisor = nursery.supervisor()
    await supervisor.start()
    child = await nursery.born()

    await supervisor.stop()
    await supervisor.stop()

    assert child.signals == ["terminate"]
    assert nursery.history == [
        "release what was restarted",
        "spawn",
        "release what was restarted",
    ]


async def test_a_worker_that_will_not_drain_is_killed() -> None:
    nursery = Nursery(Stubborn)
    supervisor = nursery.supervisor(grace_s=0.01)
    await supervisor.start()
    child = await nursery.born()

    await supervisor.stop()

    assert child.signals == ["terminate", "kill"]


async def test_a_release_that_fails_does_not_stop_the_restart() -> None:
    nursery = Nursery()

    async def fails(loss: Loss) -> None:
        raise OSError("the database is away")

    supervisor = Supervisor(nursery.spawn, fails, clock=FakeClock())
    await supervisor.start()
    (await nursery.born()).die()

    await nursery.born()

    await supervisor.stop()


async def test_a_start_that_fails_is_tried_again() -> None:
    nursery = Nursery()
    failing = iter([True, True, False])

    def spawn() -> FakeChild:
        if next(failing, False):
            raise OSError("no memory for a process")
        return nursery.spawn()

    backoff = Backoff(first_s=0.001)
    supervisor = Supervisor(spawn, nursery.release, clock=FakeClock(), backoff=backoff)
    await supervisor.start()

    await nursery.born()

    await supervisor.stop()


def test_pauses_double_up_to_a_limit_and_a_ready_worker_resets_them() -> None:
    backoff = Backoff(first_s=0.5, most_s=30)

    pauses = [backoff.after(failures) for failures in range(10)]

    assert pauses[:4] == [0, 0.5, 1, 2]
    assert pauses[-1] == 30
    assert all(later >= sooner for sooner, later in pairwise(pauses))
