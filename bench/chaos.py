"""Break one part of a running site after another under load, and count what was lost or doubled.

    python bench/chaos.py [--rounds 50] [--quick] [--seed N] [--weights toy] [--postgres]

The site is `retouch serve`, with two web processes, and one `retouch worker` beside it, on one data
folder; with `--postgres` their database is a throwaway PostgreSQL server. 64 creators send edits of
a small picture, each under an Idempotency-Key of its own that is sent again until it is
acknowledged, with a webhook that a receiver in this process takes. Each round breaks one thing:

    web      SIGKILL of the first web process, and of the webhook sender, which runs in it; all it
             supervised ends with it; started again
    sibling  SIGKILL of the other web process
    hang     SIGSTOP of the other web process for good, until its supervisor has started another
    worker   SIGKILL of one of the two workers
    decoder  SIGKILL of a worker's image decoder
    disk     no process of the site can write a byte to a file for a while (RLIMIT_FSIZE)
    freeze   SIGSTOP of a worker until after its lease has lapsed, then SIGCONT
    database SIGKILL of PostgreSQL, where that is the database; started again

Needs Linux (/proc, prlimit). Prints a table and, last, one JSON object; exits 1 when anything was
lost, left unfinished or doubled.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import httpx2
from shared import FINAL_NAMES, finished, logged_pids
from shared.aims import Aim, tell
from shared.postgres import NotInstalled, Postgres, throwaway

from retouch.bootstrap.parts import open_blobs, open_store
from retouch.domain.errors import NotFound
from retouch.domain.prediction import Prediction, Status
from retouch.ports import Blobs, Cursor, DeliveryState, Store
from retouch.running import RunningServer
from retouch.settings import Settings

MODEL = "black-forest-labs/flux-kontext-dev"
KINDS = ("web", "sibling", "hang", "worker", "decoder", "disk", "freeze")
CREATORS = 64
BACKLOG = 96  # a round begins when no more than this many are unfinished
LEASE_S = 2.0
SETTLE_S = 300.0
AIMS = (Aim("violations.*", "<=", 0), Aim("exit_status", "<=", 0))
PICTURE = (  # a red PNG of one pixel
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElF"
    "TkSuQmCC"
)


class Receiver:
    """Takes every webhook and remembers which delivery told the end of which prediction."""

    def __init__(self) -> None:
        self.told: dict[str, Counter[str]] = defaultdict(Counter)
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "0.0.0.0", 0)  # noqa: S104  127.x.y.z
        self.port = server.sockets[0].getsockname()[1]
        return server

    def url(self, number: int) -> str:
        """A creator's own address: a sender posts only so many at once to one host."""
        return f"http://127.0.1.{number + 1}:{self.port}/hook"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            body = json.loads(await reader.readexactly(int(headers["content-length"])))
            self.told[body["id"]][headers["webhook-id"]] += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()


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
        self.port = _free_port()
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


class Creators:
    """64 callers that each send what they were granted, repeatedly until it is acknowledged."""

    def __init__(self, url: str, receiver: Receiver) -> None:
        self._url, self._receiver = url, receiver
        self._granted = [asyncio.Semaphore(0) for _ in range(CREATORS)]
        self._total = 0
        self._client = httpx2.AsyncClient(
            timeout=30, limits=httpx2.Limits(max_connections=CREATORS), trust_env=False
        )
        self.acknowledged: dict[str, str] = {}  # name of a request: id of its prediction
        self._progress = asyncio.Event()
        self.refused: Counter[str] = Counter()

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._run(number)) for number in range(CREATORS)]

    def grant(self, each: int) -> None:
        """Let each make that many predictions more."""
        self._total += each * CREATORS
        for semaphore in self._granted * each:
            semaphore.release()

    async def through(self, left: int) -> None:
        """Return once no more than this many of what was granted are not acknowledged."""
        async with asyncio.timeout(SETTLE_S):
            while self._total - len(self.acknowledged) > left:
                self._progress.clear()
                await self._progress.wait()

    async def stop(self) -> None:
        """Let everything granted be acknowledged, then end."""
        await self.through(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def _run(self, number: int) -> None:
        for count in range(sys.maxsize):
            await self._granted[number].acquire()
            name = f"{number}-{count}"
            while name not in self.acknowledged:
                await self._create(name, self._receiver.url(number))

    async def _create(self, name: str, hook: str) -> None:
        values = {"prompt": name, "input_image": PICTURE, "num_inference_steps": 30}
        body = {"input": values, "webhook": hook, "webhook_events_filter": ["completed"]}
        try:
            answer = await self._client.post(
                f"{self._url}/v1/models/{MODEL}/predictions",
                json=body,
                headers={"Idempotency-Key": name},
            )
        except httpx2.HTTPError as error:
            self.refused[type(error).__name__] += 1
        else:
            if answer.status_code in (200, 201):
                self.acknowledged[name] = answer.json()["id"]
                self._progress.set()
                return
            self.refused[str(answer.status_code)] += 1
        await asyncio.sleep(random.uniform(0.1, 0.3))  # noqa: S311  not all at once


async def run(site: Site, kinds: list[str], each: int) -> dict[str, Any]:
    """The whole play; what is to be reported."""
    receiver, rounds = Receiver(), len(kinds)
    listening = await receiver.start()
    await asyncio.to_thread(site.start)
    creators = Creators(site.url, receiver)
    creators.start()
    try:
        async with open_store(site.settings) as store:
            for number, kind in enumerate(kinds, 1):
                creators.grant(each)
                await asyncio.sleep(random.uniform(0.1, 1.5))  # noqa: S311  a moment to break at
                await getattr(site, f"break_{kind}")()
                line = (
                    f"  round {number}/{rounds}: {kind}, {len(creators.acknowledged)} acknowledged"
                )
                print(line, flush=True)
                await creators.through(CREATORS)  # the next round finds them in the middle
                await calm(store)
            await creators.stop()
            ids = set(creators.acknowledged.values())
            await finished(store, ids, SETTLE_S)
            await told(store, SETTLE_S)
            verdict = await judge(store, open_blobs(site.settings), creators, receiver)
        code = await asyncio.to_thread(site.stop)
    finally:
        site.kill()
        listening.close()
    return {"rounds": dict(Counter(kinds)), **verdict, "exit_status": code}


async def calm(store: Store) -> None:
    """Return once the queue is short enough for another round."""
    async with asyncio.timeout(SETTLE_S):
        while sum((await store.depth()).values()) > BACKLOG:
            await store.changed(0.2)


async def told(store: Any, timeout_s: float) -> None:
    """Return once no webhook waits, at the latest after the timeout."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = await store.list_deliveries(limit=1_000_000)
        if all(it.state is not DeliveryState.WAITING for it in found):
            return
        await asyncio.sleep(0.5)


async def judge(store: Any, blobs: Blobs, creators: Creators, receiver: Receiver) -> dict[str, Any]:
    """What became of everything that was ever accepted, acknowledged or not."""
    rows = [row async for row in everything(store)]
    known = {row.id for row in rows}
    names = Counter(row.input["prompt"] for row in rows)
    endings, without_picture = Counter[int](), 0
    for row in rows:
        events = [event.name for event in await store.events(row.id)]
        endings[sum(name in FINAL_NAMES for name in events)] += 1
        without_picture += not await has_its_picture(row, blobs)
    deliveries = Counter(it.prediction_id for it in await store.list_deliveries(limit=1_000_000))
    ids = creators.acknowledged.values()
    violations = {
        "lost": sum(id not in known for id in ids),
        "not_ended": sum(not row.status.is_final for row in rows),
        "ended_twice": sum(count for times, count in endings.items() if times > 1),
        "created_twice": sum(count > 1 for count in names.values()),
        "without_picture": without_picture,
        "webhooks_lost": sum(id not in receiver.told for id in known),
        "webhooks_under_two_ids": sum(len(told) > 1 for told in receiver.told.values()),
        "deliveries_not_one": sum(deliveries[id] != 1 for id in known),
    }
    errors = Counter(row.error for row in rows if row.status is Status.FAILED)
    return {
        "acknowledged": len(ids),
        "rows": len(rows),
        "succeeded": sum(row.status is Status.SUCCEEDED for row in rows),
        "failed": dict(errors),
        "tried_again": sum(row.attempt > 1 for row in rows),
        "creates_refused_or_cut": dict(creators.refused),
        "webhooks_told": len(receiver.told),
        "webhooks_repeated": sum(max(it.values()) > 1 for it in receiver.told.values()),
        "violations": violations,
    }


async def everything(store: Store) -> Any:
    """Every prediction there is, newest first."""
    after = None
    while page := await store.page(None, limit=500, after=after):
        for row in page:
            yield row
        after = Cursor(page[-1].created_at, page[-1].id)


async def has_its_picture(row: Prediction, blobs: Blobs) -> bool:
    """Whether a success has one picture, made by the attempt that won; others have none."""
    if row.status is not Status.SUCCEEDED:
        return not row.outputs
    keys = [output.key for output in row.outputs]
    if keys != [f"{row.id}/{row.attempt}/0.{row.edit.output_format.extension}"]:
        return False
    with suppress(NotFound):
        return await blobs.size(keys[0]) == row.outputs[0].size_bytes
    return False


# -- processes -------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="one round of each kind")
    parser.add_argument("--seed", type=int, default=None, help="repeat a play's choices")
    parser.add_argument("--weights", default="toy")
    parser.add_argument("--postgres", action="store_true", help="on a throwaway server")
    options = parser.parse_args()
    seed = random.randrange(2**32) if options.seed is None else options.seed  # noqa: S311  no secret
    random.seed(seed)
    started = time.monotonic()
    possible = (*KINDS, "database") if options.postgres else KINDS
    rounds, each = (len(possible), 1) if options.quick else (options.rounds, 3)
    kinds = [possible[number % len(possible)] for number in range(rounds)]
    random.shuffle(kinds)
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            throwaway() if options.postgres else nullcontext() as postgres,
        ):
            site = Site(Path(folder, "data"), options.weights, postgres)
            report = asyncio.run(run(site, kinds, each))
    except NotInstalled as reason:
        raise SystemExit(str(reason)) from None
    report = {
        "seed": seed,
        "database": "postgres" if options.postgres else "sqlite",
        "creators": CREATORS,
        "took_s": round(time.monotonic() - started),
        **report,
    }
    for name, value in report.items():
        print(f"{name:24} {value}")
    return int(not tell(report, AIMS))


if __name__ == "__main__":
    sys.exit(main())
