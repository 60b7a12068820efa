"""The engine's loop: what goes into it, its steps, and what comes out.

The engine is touched between steps only, so what is added or dropped takes effect at a step
boundary. Only `step` leaves the event loop, for a thread of its own.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from retouch.ports import Broken, Engine, EngineEvent, Finished, Job
from retouch.worker.held import Held
from retouch.worker.leases import Leases
from retouch.worker.watchdog import Watchdog


class Stepper:
    """Steps an engine while there is anything to step. `on_step` is told how long each took."""

    def __init__(
        self,
        engine: Engine,
        leases: Leases,
        watchdog: Watchdog,
        on_step: Callable[[float], None],
    ) -> None:
        self._engine, self._leases = engine, leases
        self._watchdog, self._on_step = watchdog, on_step
        self._prepared: list[tuple[Held, Job]] = []  # to add at the next step boundary
        self._dropped: list[Held] = []  # to cancel at the next step boundary
        self._running: dict[str, Held] = {}  # in the engine, by job id
        self._expected = 0  # claimed and not yet in the engine
        self._work = asyncio.Event()  # something for the engine to do
        self._roomier = asyncio.Event()  # the engine may have room again

    def room(self) -> int:
        """How many more predictions to claim."""
        return self._engine.room() - self._expected

    async def wait_for_room(self, timeout_s: float) -> None:
        """Return at a step boundary, at the latest after the timeout."""
        self._roomier.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._roomier.wait(), timeout_s)

    def expect(self) -> None:
        """Keep room for one that was claimed, until it is added or fails before."""
        self._expected += 1

    def expect_no_more(self) -> None:
        """One that was expected has failed."""
        self._expected -= 1

    def add(self, held: Held, job: Job) -> None:
        """Begin with one that was expected, unless it is lost before the next boundary."""
        self._prepared.append((held, job))
        self._work.set()

    def drop(self, held: Held) -> None:
        """End what is no longer held."""
        self._dropped.append(held)
        self._work.set()

    async def run(
        self, thread: ThreadPoolExecutor, take: Callable[[Held, EngineEvent], None]
    ) -> None:
        """Step for ever, and hand over each event with the prediction it is about."""
        loop = asyncio.get_running_loop()
        while True:
            self._cross_boundary()
            if self._engine.idle:
                self._work.clear()
                await self._work.wait()
                continue
            with self._watchdog.over(self._engine.expected_s()):
                began = loop.time()
                events = await loop.run_in_executor(thread, self._engine.step)
                self._on_step(loop.time() - began)
            for event in events:
                is_over = isinstance(event, Finished | Broken)
                held = self._running.pop(event.id) if is_over else self._running[event.id]
                take(held, event)

    def _cross_boundary(self) -> None:
        dropped, self._dropped = self._dropped, []
        for held in dropped:
            if self._running.pop(held.job_id, None):
                self._engine.cancel(held.job_id)
        prepared, self._prepared = self._prepared, []
        for held, job in prepared:
            self._expected -= 1
            if self._leases.holds(held):
                self._running[job.id] = held
                self._engine.add(job)
                held.trace.enter("steps")
        self._roomier.set()
