"""A running site, and one way for each of its parts to break."""

import asyncio
import os
import random
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from retouch.running import RunningServer
from retouch.settings import Settings
from shared.postgres import Postgres
from shared.servers import free_port
from shared.watching import logged_pids

LEASE_S = 2.0


class Site:
    """The server and the worker beside it."""

    def __init__(self, data: Path, weights: str, postgres: Postgres | None) -> None:
        self._data, self._postgres = data, postgres
        database = postgres.fresh() if postgres else ""
        self.settings = Settings(data=data, database=database)
        self._flags = (
            *(("--database", database) if database else ()),
            *("--weights", weights, "--log-format", "json"),
            *("--lease-s", str(LEASE_S), "--beat-s", "0.25", "--drain-s", "5"),
            *("--allow-webhook", "127.0.0.0/8"),
        )
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.serve()
        self.hire()

    def serve(self) -> None:
        own = ("--port", str(self.port), "--web-processes", "2")
        self.server = RunningServer(self._data, *self._flags, *own)

    def hire(self) -> None:
        command = [sys.executable, "-m", "retouch.cli", "worker", "--data", str(self._data)]
        self.worker = subprocess.Popen(  # noqa: S603  our own command
            [*command, *self._flags], stderr=subprocess.DEVNULL, start_new_session=True
        )

    def stop(self) -> int:
        """Drain both; the server's exit status."""
        self.worker.terminate()
        code = self.server.stop()
        self.worker.wait(30)
        return code

    def kill(self) -> None:
        """End whatever still runs."""
        self.worker.kill()
        self.worker.wait()
        self.server.kill()

    async def workers(self) -> list[int]:
        """The two workers' process ids, once a new server has started its own."""
        return [(await self._logged("worker.started"))[-1], self.worker.pid]

    async def _siblings(self) -> list[int]:
        """The process ids of the other web processes there were, once the last one answers."""
        async with asyncio.timeout(60):
            while True:
                started, ready = (
                    logged_pids(self.server, event) for event in ("web.started", "web.ready")
                )
                if started and started[-1] in ready:  # some may have died before they answered
                    return ready
                await asyncio.sleep(0.05)

    async def _logged(self, event: str, count: int = 1) -> list[int]:
        """The process ids in such lines of the server's log, once there are so many."""
        async with asyncio.timeout(60):
            while len(pids := logged_pids(self.server, event)) < count:  # noqa: ASYNC110  a log
                await asyncio.sleep(0.05)
        return pids

    def processes(self) -> list[int]:
        """Every process of the site."""
        roots = [self.server.process.pid, self.worker.pid]
        return [pid for root in roots for pid in (root, *_descendants(root))]

    # -- what is broken --------------------------------------------------------------------------

    async def break_web(self) -> None:
        await asyncio.to_thread(self.server.kill)
        await asyncio.to_thread(self.serve)

    async def break_sibling(self) -> None:
        _signal((await self._siblings())[-1], signal.SIGKILL)

    async def break_hang(self) -> None:
        pids = await self._siblings()
        _signal(pids[-1], signal.SIGSTOP)
        await self._logged("web.ready", len(pids) + 1)

    async def break_worker(self) -> None:
        pid = random.choice(await self.workers())  # noqa: S311  a victim
        _signal(pid, signal.SIGKILL)
        if pid == self.worker.pid:
            self.worker.wait()
            self.hire()

    async def break_decoder(self) -> None:
        decoders = [
            child
            for pid in await self.workers()
            for child in _descendants(pid)
            if b"retouch.images.child" in _read(f"/proc/{child}/cmdline")
        ]
        for pid in decoders[:1]:
            _signal(pid, signal.SIGKILL)

    async def break_disk(self) -> None:
        limit = resource.RLIMIT_FSIZE
        _, hard = resource.getrlimit(limit)
        try:
            _limit(self.processes(), (0, hard))
            await asyncio.sleep(random.uniform(0.5, 3.0))  # noqa: S311  a while
        finally:
            _limit(self.processes(), (hard, hard))  # and what was started meanwhile

    async def break_database(self) -> None:
        assert self._postgres is not None  # noqa: S101  else it is not among the kinds
        self._postgres.kill()
        await asyncio.sleep(random.uniform(0.1, 2.0))  # noqa: S311  a while
        await asyncio.to_thread(self._postgres.launch)

    async def break_freeze(self) -> None:
        pid = random.choice(await self.workers())  # noqa: S311  a victim
        _signal(pid, signal.SIGSTOP)
        await asyncio.sleep(LEASE_S * random.uniform(1.2, 2.0))  # noqa: S311  past its lease
        _signal(pid, signal.SIGCONT)


# -- processes -------------------------------------------------------------------------------------


def _descendants(pid: int) -> list[int]:
    children = _read(f"/proc/{pid}/task/{pid}/children").split()
    return [it for child in map(int, children) for it in (child, *_descendants(child))]


def _read(path: str) -> bytes:
    with suppress(OSError):
        return Path(path).read_bytes()
    return b""


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _limit(pids: list[int], limits: tuple[int, int]) -> None:
    for pid in pids:
        if b"retouch.images.child" not in _read(f"/proc/{pid}/cmdline"):  # it may never write
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
