"""Keeps one local process alive: restarts it when it dies and frees its leases at once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from retouch.domain.prediction import Loss
from retouch.ports import Clock
from retouch.worker.watchdog import EXITCODE

log = structlog.get_logger(__name__)


class Child(Protocol):
    """A started process."""

    @property
    def pid(self) -> int | None: ...

    @property
    def sentinel(self) -> int:
        """A file descriptor that becomes readable when the process ends."""

    @property
    def exitcode(self) -> int | None: ...

    @property
    def was_ready(self) -> bool:
        """Whether it got as far as doing its work."""

    @property
    def heard(self) -> int:
        """How often it has said that it runs: that it is ready, then each beat."""

    def terminate(self) -> None:
        """Ask it to drain (SIGTERM)."""

    def kill(self) -> None:
        """End it (SIGKILL)."""

    def join(self, timeout: float | None = None) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Pauses before a restart, in seconds: none after a child that had become ready."""

    first_s: float = 0.5
    most_s: float = 30.0

    def after(self, failures: int) -> float:
        """The pause after this many children in a row that never became ready."""
        return 0.0 if failures == 0 else min(self.most_s, self.first_s * 2 ** (failures - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """With the silence of a child that is to beat: so many looks, and more until it is ready.

    Looks are counted and not seconds: time that the supervisor slept through too, as when the whole
    machine is suspended, is not held against its child.
    """

    look_every_s: float = 1.0
    looks: int = 10
    looks_at_start: int = 120


class Supervisor:
    """Runs `spawn` again whenever its child ends, until stopped."""

    def __init__(
        self,
        spawn: Callable[[], Child],
        release: Callable[[Loss], Awaitable[object]],
        *,
        clock: Clock,
        backoff: Backoff = Backoff(),
        grace_s: float = 30.0,
        what: str = "worker",
        patience: Patience | None = None,
    ) -> None:
        """`release(loss)` frees what the last child held, saying how it was lost.

        `what` it is begins the names of log lines. One that is silent for longer than `patience`
        hangs, and is killed; without that nobody listens for beats.
        """
        self._spawn, self._release = spawn, release
        self._clock, self._backoff, self._grace_s, self._what = clock, backoff, grace_s, what
        self._patience = patience
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.child: Child | None = None

    @property
    def is_ready(self) -> bool:
        """Whether a child is up and at work."""
        return self.child is not None and self.child.exitcode is None and self.child.was_ready

    async def start(self) -> None:
        """Free what a predecessor held, then start the first child in the background."""
        self._task = asyncio.create_task(self._run(), name="supervisor")

    async def stop(self) -> None:
        """Let the child drain for `grace_s`, then kill it. Safe to call twice."""
        self._stopping.set()
        if self._task is None:
            return
        if self.child is not None:
            self.child.terminate()
        done, _ = await asyncio.wait({self._task}, timeout=self._grace_s)
        if not done and self.child is not None:
            self.child.kill()
        await self._task
        self._task = None

    async def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            await self._free("restarted")
            born = self._clock.monotonic()
            try:
                self.child = await asyncio.to_thread(self._spawn)
            except Exception:
                failures += 1
                log.exception(f"{self._what}.not_started")
                await self._pause(self._backoff.after(failures))
                continue
            log.info(f"{self._what}.started", pid=self.child.pid)
            if self._stopping.is_set():
                self.child.terminate()
            is_hung = await self._ended(self.child)
            self.child.join()
            code = self.child.exitcode
            if self._stopping.is_set():
                break
            lived_s = self._clock.monotonic() - born
            failures = 0 if self.child.was_ready else failures + 1
            pause_s = self._backoff.after(failures)
            ended = "hung" if is_hung or code == EXITCODE else "died"
            log.error(
                f"{self._what}.{ended}",
                exitcode=code,
                lived_s=round(lived_s, 1),
                restart_in_s=pause_s,
            )
            await self._free("crashed")
            await self._pause(pause_s)
        await self._free("restarted")

    async def _ended(self, child: Child) -> bool:
        """Return when it has ended: whether it was silent for too long and was killed for that."""
        ended = asyncio.create_task(_end_of(child))
        if self._patience is None:
            await ended
            return False
        heard, silent, most = 0, 0, self._patience.looks_at_start
        while not ended.done() and silent < most:
            await asyncio.wait({ended}, timeout=self._patience.look_every_s)
            before, heard = heard, child.heard
            is_mute = heard == before and not self._stopping.is_set()
            silent = silent + 1 if is_mute else 0
            most = self._patience.looks if child.was_ready else most
        is_hung = not ended.done()
        if is_hung:
            child.kill()
        await ended
        return is_hung

    async def _free(self, loss: Loss) -> None:
        """Release the dead child's leases; a store that is away gets them back when they lapse."""
        try:
            await self._release(loss)
        except Exception:
            log.exception(f"{self._what}.release_failed")

    async def _pause(self, pause_s: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), pause_s)
        except TimeoutError:
            return


async def _end_of(child: Child) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(child.sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(child.sentinel)
