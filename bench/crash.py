"""Kill the server, then the worker, again and again under load, and count what was lost.

    python bench/crash.py [--rounds 20] [--quick]

Part one kills the whole server (web, worker, decoder) with SIGKILL while callers create
predictions, and starts it again on the same folder. Part two kills only the worker while it runs
an edit, and times how long until that edit runs again. An acknowledged prediction is one whose
id a caller was given. Prints a table and, last, one JSON object.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from shared.aims import Aim, tell
from shared.watching import FINAL_NAMES, finished, worker_pid

from retouch.bootstrap.parts import open_store
from retouch.domain.prediction import Prediction
from retouch.ports import Store
from retouch.running import RunningServer
from retouch.settings import Settings

MODEL = "black-forest-labs/flux-kontext-pro"
PHOTO = Path(__file__).parents[1] / "examples" / "photos" / "cat.jpg"
CALLERS = 4
AIMS = (
    *(Aim(f"*.{what}", "<=", 0) for what in ("lost", "stuck", "ended_twice")),
    Aim("worker.again_s_max", "<=", 3),
)
STEPS = 12  # enough that a kill finds edits half done
LATEST_S = 15.0  # a server is killed by then: from before its worker is up to well into its edits
BACKLOG = 40  # a caller pauses while this many wait: the queue must drain in the end


def create(url: str, steps: int | None = None) -> str:
    """Create an edit of an uploaded photo; the id once the server acknowledged it."""
    image = urlopen_json(Request(f"{url}/v1/files", *multipart(PHOTO)))["urls"]["get"]  # noqa: S310  ours
    values = {"prompt": "make it black and white", "input_image": image}
    model = MODEL
    if steps:
        model, values = model.replace("pro", "dev"), {**values, "num_inference_steps": steps}
    body = json.dumps({"input": values}).encode()
    address = f"{url}/v1/models/{model}/predictions"
    request = Request(address, body, {"Content-Type": "application/json"})  # noqa: S310  ours
    return str(urlopen_json(request)["id"])


def multipart(photo: Path) -> tuple[bytes, dict[str, str]]:
    """A body with one file part, and its headers."""
    head = f'--x\r\nContent-Disposition: form-data; name="content"; filename="{photo.name}"\r\n\r\n'
    body = head.encode() + photo.read_bytes() + b"\r\n--x--\r\n"
    return body, {"Content-Type": "multipart/form-data; boundary=x"}


def urlopen_json(request: Request) -> Any:
    with urlopen(request, timeout=10) as answer:  # noqa: S310  our own server
        return json.load(answer)


class Callers:
    """Threads that create predictions until told to stop, and remember what was acknowledged."""

    def __init__(self, acknowledged: set[str]) -> None:
        self.acknowledged = acknowledged
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, url: str, budget: int) -> None:
        self._stop.clear()
        self._threads = [
            threading.Thread(target=self._run, args=(url, budget)) for _ in range(CALLERS)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, url: str, budget: int) -> None:
        for _ in range(budget):
            if self._stop.is_set():
                return
            try:
                self.acknowledged.add(create(url, STEPS))
            except (URLError, OSError, ValueError):
                if self._stop.wait(0.05):
                    return


async def judge(store: Store, ids: set[str], timeout_s: float) -> dict[str, int]:
    """What became of the acknowledged predictions."""
    found = await finished(store, ids, timeout_s)
    endings = Counter[int]()
    for prediction in found:
        names = [event.name for event in await store.events(prediction.id)]
        endings[sum(name in FINAL_NAMES for name in names)] += 1
    outcomes = Counter(str(prediction.status) for prediction in found)
    return {
        "acknowledged": len(ids),
        "lost": len(ids) - len(found),
        "stuck": sum(not prediction.status.is_final for prediction in found),
        "ended_twice": sum(count for times, count in endings.items() if times > 1),
        "succeeded": outcomes["succeeded"],
        "failed": outcomes["failed"],
        "tried_again": sum(prediction.attempt > 1 for prediction in found),
    }


async def kill_servers(
    data: Path, rounds: int, flags: tuple[str, ...], latest_s: float
) -> dict[str, int]:
    """Part one; each server lives for `latest_s` at most."""
    acknowledged: set[str] = set()
    callers = Callers(acknowledged)
    for n in range(rounds):
        server = await asyncio.to_thread(RunningServer, data, *flags)
        callers.start(server.url, budget=max(1, BACKLOG // CALLERS // 4))
        await asyncio.sleep(random.uniform(0.5, latest_s))  # noqa: S311  a moment to kill at
        server.kill()
        callers.stop()
        print(f"  server killed {n + 1}/{rounds}, {len(acknowledged)} acknowledged", flush=True)
    server = await asyncio.to_thread(RunningServer, data, *flags)
    try:
        async with open_store(Settings(data=data)) as store:
            return await judge(store, acknowledged, timeout_s=900)
    finally:
        await asyncio.to_thread(server.stop)


async def kill_workers(data: Path, rounds: int, flags: tuple[str, ...]) -> dict[str, float]:
    """Part two."""
    server = await asyncio.to_thread(RunningServer, data, *flags)
    acknowledged: set[str] = set()
    again_s: list[float] = []
    try:
        async with open_store(Settings(data=data)) as store:
            for n in range(rounds):
                id = await asyncio.to_thread(create, server.url, 50)
                acknowledged.add(id)
                running = await attempt(store, id, 1)
                if running.status.is_final:
                    continue
                killed = time.monotonic()
                worker = worker_pid(server)
                assert worker is not None  # noqa: S101  it runs the edit
                os.kill(worker, signal.SIGKILL)
                await attempt(store, id, 2)
                again_s.append(time.monotonic() - killed)
                print(f"  worker killed {n + 1}/{rounds}, again in {again_s[-1]:.2f} s", flush=True)
                await finished(store, {id}, timeout_s=60)
            verdict = await judge(store, acknowledged, timeout_s=120)
    finally:
        await asyncio.to_thread(server.stop)
    return {
        **verdict,
        "kills": len(again_s),
        "again_s_median": round(statistics.median(again_s), 2),
        "again_s_max": round(max(again_s), 2),
    }


async def attempt(store: Store, id: str, number: int) -> Prediction:
    """Wait until a worker has started this attempt."""
    while True:
        found = await store.get(id)
        if found is not None and (found.status.is_final or found.attempt >= number):
            return found
        await store.changed(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="two rounds of each, of short lives")
    parser.add_argument("--weights", default="nano")
    options = parser.parse_args()
    rounds, latest_s = (2, 5.0) if options.quick else (options.rounds, LATEST_S)
    flags = ("--weights", options.weights, "--log-format", "json")
    with tempfile.TemporaryDirectory() as folder:
        servers = asyncio.run(kill_servers(Path(folder, "a"), rounds, flags, latest_s))
        workers = asyncio.run(kill_workers(Path(folder, "b"), rounds, flags))
    for title, verdict in (("server killed", servers), ("worker killed", workers)):
        print(f"{title} {rounds} times: " + ", ".join(f"{k} {v}" for k, v in verdict.items()))
    tell({"rounds": rounds, "server": servers, "worker": workers}, AIMS)


if __name__ == "__main__":
    main()
