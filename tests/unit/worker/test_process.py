"""The fork server and the workers it gives birth to, as real processes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import Pipe, forkserver
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for

import pytest

from retouch.domain.prediction import Loss
from retouch.testing import FakeClock
from retouch.worker import Supervisor
from retouch.worker.process import Nursery, beat
from retouch.worker.supervisor import Backoff


def nursery_of(main: Callable[..., object], *arguments: object) -> Nursery:
    """Its fork server imports this module once, not each worker."""
    return Nursery(main, *arguments, preload=[__name__])


def find_out(learned: int | None, ready: "Connection[int, None]") -> None:
    """A worker that finds out one more than the last, and ends."""
    ready.send((learned or 0) + 1)


def die_at_two(learned: int | None, ready: "Connection[int, None]") -> None:
    """A worker that is ready only if it knows nothing yet."""
    if learned is None:
        ready.send(1)


def test_a_worker_gets_what_the_one_before_it_found_out() -> None:
    nursery = nursery_of(find_out)

    found = []
    for _ in range(3):
        child = nursery.spawn()
        child.join(60)
        found.append(child.learned)

    assert found == [1, 2, 3]


def test_a_worker_that_never_got_ready_makes_nobody_forget() -> None:
    nursery = nursery_of(die_at_two)

    found = []
    for _ in range(3):
        child = nursery.spawn()
        child.join(60)
        found.append(child.was_ready)

    assert found == [True, False, False]


def never_ready(learned: None, ready: "Connection[None, None]") -> None:
    """A worker that ends at once."""


async def test_workers_that_never_get_ready_are_started_again_and_again() -> None:
    nursery, losses, enough = nursery_of(never_ready), list[Loss](), asyncio.Event()

    async def release(loss: Loss) -> None:
        losses.append(loss)
        if losses.count("crashed") == 3:
            enough.set()

    supervisor = Supervisor(
        nursery.spawn, release, clock=FakeClock(), backoff=Backoff(first_s=0.001)
    )
    await supervisor.start()
    try:
        await asyncio.wait_for(enough.wait(), 30)
    finally:
        await supervisor.stop()


def test_a_beat_that_nobody_reads_blocks_nobody() -> None:
    reader, writer = Pipe(duplex=False)
    with reader, writer:
        for _ in range(20_000):
            beat(writer)
        assert reader.poll()


def stay(alive: "Connection[None, None]", learned: None, ready: "Connection[None, None]") -> None:
    """A worker that never ends by itself."""
    ready.send(None)
    signal.pause()


def test_a_worker_whose_fork_server_was_killed_is_ended_and_another_can_be_started() -> None:
    alive, end = Pipe(duplex=False)
    nursery = nursery_of(stay, end)
    first = nursery.spawn()
    end.close()
    assert wait_for([first._ready], 60)

    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
    assert wait_for([first.sentinel], 60)
    first.join(60)

    assert wait_for([alive], 60)
    with pytest.raises(EOFError):  # the last who held the other end was the worker
        alive.recv()
    nursery = nursery_of(find_out)
    second = nursery.spawn()
    second.join(60)
    assert second.was_ready


def test_a_signal_to_all_processes_leaves_the_fork_server_and_lets_the_worker_drain() -> None:
    _, end = Pipe(duplex=False)
    first = nursery_of(stay, end).spawn()
    assert wait_for([first._ready], 60)
    fork_server = forkserver._forkserver._forkserver_pid

    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(fork_server, number)
    os.kill(first.pid, signal.SIGINT)
    second = nursery_of(find_out).spawn()
    second.join(60)
    first.terminate()
    first.join(60)

    assert second.was_ready
    assert forkserver._forkserver._forkserver_pid == fork_server
    assert first.exitcode == -signal.SIGTERM


FORKED = """
import json, os, signal, sys
import retouch.bootstrap.worker, retouch.bootstrap.children, retouch.engine.families.toy
from pathlib import Path
from retouch.settings import Settings

class Ready:
    def send(self, learned):
        os.kill(os.getpid(), signal.SIGTERM)

before = set(sys.modules)
retouch.bootstrap.worker.work(Settings(data=Path(sys.argv[1]), weights="toy"), "w", None, Ready())
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_a_worker_imports_nothing_that_the_fork_server_could_have(tmp_path) -> None:
    done = subprocess.run(  # noqa: S603  ours
        [sys.executable, "-c", FORKED, tmp_path],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    late = json.loads(done.stdout.splitlines()[-1])
    slow = [name for name in late if name.partition(".")[0] not in sys.stdlib_module_names]
    assert slow == []
