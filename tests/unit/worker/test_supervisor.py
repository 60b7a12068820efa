"""The supervisor over children that are plain objects with a pipe for a sentinel."""

import asyncio
import os
from itertools import pairwise

from retouch.domain.prediction import Loss
from retouch.testing import FakeClock
from retouch.worker import Supervisor
from retouch.worker.supervisor import Backoff, Patience


class FakeChild:
    """A process that ends when told to."""

    def __init__(self, *, was_ready: bool = True) -> None:
        self.sentinel, self._alive = os.pipe()
        self.pid, self.exitcode, self.was_ready = 1, None, was_ready
        self.heard = 0
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


class Beating(FakeChild):
    """Is heard each time anybody listens, until it is muted."""

    def __init__(self) -> None:
        super().__init__()
        self._beats, self.looks, self.is_mute = 0, 0, False

    @property
    def heard(self) -> int:
        self.looks += 1
        self._beats += not self.is_mute
        return self._beats

    @heard.setter
    def heard(self, beats: int) -> None:
        self._beats = beats


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

    def supervisor(self, grace_s: float = 5.0, patience: Patience | None = None) -> Supervisor:
        backoff = Backoff(first_s=0.001)
        return Supervisor(
            self.spawn,
            self.release,
            clock=FakeClock(),
            backoff=backoff,
            grace_s=grace_s,
            patience=patience,
        )

    async def born(self) -> FakeChild:
        return await asyncio.wait_for(self.births.get(), 30)


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


async def looked_at(child: Beating, times: int) -> None:
    """Return once it was listened to so many times more."""
    until = child.looks + times
    async with asyncio.timeout(30):
        while child.looks < until:  # noqa: ASYNC110  the supervisor tells nobody that it listens
            await asyncio.sleep(0.001)


async def test_a_child_that_falls_silent_is_killed_and_replaced() -> None:
    nursery = Nursery(Beating)
    supervisor = nursery.supervisor(patience=Patience(look_every_s=0.001, looks=3))
    await supervisor.start()
    child = await nursery.born()
    await looked_at(child, 20)  # as long as it beats it is left alone
    assert child.signals == []

    child.is_mute = True
    other = await nursery.born()
    await supervisor.stop()

    assert child.signals[0] == "kill"
    assert other.signals == ["terminate"]


class Slow(Beating):
    """Is silent: it is not ready yet, and then takes its time to drain."""

    def __init__(self) -> None:
        super().__init__()
        self.was_ready, self.is_mute = False, True

    def terminate(self) -> None:
        self.signals.append("terminate")


async def test_silence_while_a_child_starts_or_drains_is_no_hanging() -> None:
    nursery = Nursery(Slow)
    patience = Patience(look_every_s=0.001, looks=3, looks_at_start=1_000_000)
    supervisor = nursery.supervisor(patience=patience)
    await supervisor.start()
    child = await nursery.born()
    await looked_at(child, 20)

    stopping = asyncio.create_task(supervisor.stop())
    await looked_at(child, 20)
    child.die(0)
    await stopping

    assert child.signals == ["terminate"]


async def test_a_child_that_never_gets_ready_is_given_up() -> None:
    nursery = Nursery(Slow)
    supervisor = nursery.supervisor(
        grace_s=0.01, patience=Patience(look_every_s=0.001, looks_at_start=5)
    )
    await supervisor.start()
    child = await nursery.born()

    await nursery.born()
    await supervisor.stop()

    assert child.signals[0] == "kill"


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
