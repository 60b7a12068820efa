"""A local worker as a child process, forked from a server that has the heavy imports done.

Importing torch takes seconds and a worker must be back sooner than that after a crash, so its
children are forked from `multiprocessing`'s fork server, which imports the model code once and
never runs it. That server and every child end when the process that started them dies.
"""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from retouch.worker.worker import Worker


class LocalWorker:
    """A started child; `retouch.worker.supervisor.Child`."""

    def __init__(self, process: ForkServerProcess, ready: "Connection[None, None]") -> None:
        self._process, self._ready = process, ready
        self._was_ready = False

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
        if not self._was_ready and self._ready.poll():
            with suppress(EOFError):  # it died before
                self._ready.recv()
                self._was_ready = True
        return self._was_ready

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def join(self, timeout: float | None = None) -> None:
        self._process.join(timeout)
        self.was_ready  # noqa: B018  read it while the pipe is open
        self._ready.close()


def nursery(preload: str) -> ForkServerContext:
    """The fork server's context; it imports `preload` when the first child is asked for."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    return context


def spawn(context: ForkServerContext, main: Callable[..., object], *arguments: Any) -> LocalWorker:
    """Start `main(*arguments, ready)` in a child; it sends something on `ready` once it claims."""
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=main, args=(*arguments, writer), name="retouch-worker")
    process.start()
    writer.close()
    return LocalWorker(process, reader)


async def run_until_told(worker: Worker, ready: Callable[[], None]) -> None:
    """Run a worker; SIGTERM and SIGINT drain it, a dead parent ends it at once."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    parent = multiprocessing.parent_process()
    if parent is not None:
        # At a terminal the interrupt goes to every process; the parent decides when we drain.
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        loop.add_reader(parent.sentinel, os._exit, 1)
    ready()
    await worker.run()
