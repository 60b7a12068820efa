"""A local worker as a child process, forked from a server that has the heavy imports done.

Importing torch takes seconds and a worker must be back sooner than that after a crash, so its
children are forked from `multiprocessing`'s fork server, which imports the model code once and
never runs it. That server and every child end when the process that started them dies.
"""

import asyncio
import gc
import multiprocessing
import os
import select
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any

from retouch.worker.worker import Worker

STOPPING = (signal.SIGTERM, signal.SIGINT)
"""The signals that tell a process to stop."""

WITNESS_GONE = 255
"""The exit status of a child whose fork server died: nobody knows whether it still lives."""


class LocalWorker:
    """A started child; `retouch.worker.supervisor.Child`."""

    def __init__(self, process: BaseProcess, ready: "Connection[None, object]") -> None:
        self._process, self._ready = process, ready
        self._was_ready = False
        self._heard = 0
        self.learned: object = None  # what it found out, once it was ready

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def sentinel(self) -> int:
        return self._process.sentinel

    @property
    def exitcode(self) -> int | None:
        return self._process.exitcode

    @property
    def was_ready(self) -> bool:
        self._listen()
        return self._was_ready

    @property
    def heard(self) -> int:
        self._listen()
        return self._heard

    def _listen(self) -> None:
        """Take what it sent: first what it found out, then its beats."""
        with suppress(EOFError):  # it died
            while not self._ready.closed and self._ready.poll():
                sent = self._ready.recv()
                if not self._was_ready:
                    self.learned, self._was_ready = sent, True
                self._heard += 1

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def join(self, timeout: float | None = None) -> None:
        self._process.join(timeout)
        if self.exitcode == WITNESS_GONE and self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self._listen()
        self._ready.close()


class Nursery:
    """Starts one worker after the other, each with what an earlier one found out.

    A child runs `main(*arguments, learned, ready)`. Once it claims it sends on `ready` what it
    found out about its device; the next one gets that as `learned`, the first one None. What it
    sends after that are beats.
    """

    def __init__(
        self,
        main: Callable[..., object],
        *arguments: Any,
        preload: Sequence[str] = (),
        forks: bool = True,
    ) -> None:
        """`preload` are the modules that the fork server imports before its first child.

        A child that is to be without them is not forked from that server, but starts afresh.
        """
        self._main, self._arguments = main, arguments
        self._context: ForkServerContext | SpawnContext = (
            multiprocessing.get_context("forkserver")
            if forks
            else multiprocessing.get_context("spawn")
        )
        if preload:
            self._context.set_forkserver_preload(list(preload))
        self._last: LocalWorker | None = None
        self._learned: object = None

    def spawn(self) -> LocalWorker:
        """Start a child; the one before it must have ended."""
        if self._last is not None and self._last.was_ready:
            self._learned = self._last.learned
        reader, writer = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_begin,
            args=(self._main, *self._arguments, self._learned, writer),
        )
        with _signals_held():
            process.start()
        writer.close()
        self._last = LocalWorker(process, reader)
        return self._last


def _begin(main: Callable[..., object], *arguments: object) -> None:
    gc.freeze()  # what the fork server imported is never garbage: no collection need look at it
    # At a terminal the interrupt goes to every process; the parent decides when we drain.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    main(*arguments)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Hold back in this thread what ends a process, until the block is left.

    A process started meanwhile inherits that. The fork server keeps it: were it to end by a signal
    that goes to the whole process group, its workers could not drain. It ends when we do.
    """
    resource_tracker.ensure_running()  # or it is started later, and undoes this
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def beat(ready: "Connection[None, object]") -> None:
    """Say on a child's pipe that it still runs; nothing while nobody reads what was said."""
    pipe = select.poll()
    pipe.register(ready, select.POLLOUT)
    if pipe.poll(0):
        ready.send(None)


async def run_until_told(worker: Worker, ready: Callable[[], None]) -> None:
    """Run a worker; SIGTERM and SIGINT drain it, a dead parent ends it at once."""
    on_told(worker.stop)
    ready()
    await worker.run()


def on_told(stop: Callable[[], None]) -> None:
    """Have SIGTERM and SIGINT call `stop`; in a child a dead parent ends the process at once."""
    loop = asyncio.get_running_loop()
    parent = multiprocessing.parent_process()
    # What `_begin` has a child ignore stays ignored.
    for number in STOPPING if parent is None else (signal.SIGTERM,):
        loop.add_signal_handler(number, stop)
    if parent is not None:
        loop.add_reader(parent.sentinel, os._exit, 1)
