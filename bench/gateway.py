"""How fast the gateway takes, shows and keeps predictions, beside other servers of models.

    python bench/gateway.py [--seconds 4] [--rounds 3] [--quick]

Ours is `retouch web`: each create is checked, counted against the queue's cap and on disk before
it is acknowledged. The peers, in environments of their own under `build/peers`, serve a model that
says its prompt; none of them writes anything down. BentoML takes a task and returns its id, like
us; LitServe, Cog and LiteLLM (a mocked chat model) answer with the result. All servers are up at
once and are asked in turn, round by round, at 64 connections, and each figure is the median of its
rounds; Cog refuses what comes while it is busy, and refusals do not count. Each has one process
that answers, as it comes; ours is asked a second time with one per core (`xN`, at least two), and
the aims are that one's.

Reads of a status go on beside creates, 32 connections each, and are measured twice: beside
PACE_PER_S creates a second, which is what the aim is set for, and beside as many as the server
takes (`flooded`). The second says less of reads: what is left for them is what creates do not
take, and no queue is filled without end, while every caller polls (who looks twice a second at an
edit of 8 s makes 16 reads of one create). Nothing runs the predictions, so those that are read, 100
of them in turn, do not change.

`ready` is the time from the start of the process to the first good answer of its health address,
`idle` the memory (PSS) of all its processes then; for ours, of `retouch serve` with a worker, and
for `xN` of its web processes.

Load comes from wrk (Debian's package of that name), in a process of its own. `--quick` leaves the
peers out. Prints a table and, last, one JSON object.
"""

import argparse
import base64
import json
import os
import platform
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median

from shared.aims import Aim, tell
from shared.contestants import PEERS, Contestant, missing
from shared.servers import Running, serving
from shared.wrk import CONNECTIONS, Load, measured, wrk

PROCESSES = max(2, os.cpu_count() or 1)
ONE, MANY = "retouch", f"retouch x{PROCESSES}"
IMAGE_BYTES = 100_000
PACE_PER_S = 200
CREATE = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
AIMS = (
    Aim("creates_per_s", ">=", 2000),
    Aim("create_p99_ms", "<=", 60),
    Aim("times_bentoml", ">=", 5),
    Aim("times_litellm", ">=", 10),
    Aim("reads_per_s", ">=", 3000),
    Aim("image_creates_per_s", ">=", 300),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=4, help="of load per round and server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a short round or two, without peers")
    parser.add_argument("--install", action="store_true", help="only make the peers' environments")
    options = parser.parse_args()
    if options.install:
        for contestant in PEERS:
            print(f"{contestant.name}: {missing(contestant) or 'installed'}")
        return
    if shutil.which("wrk") is None:
        raise SystemExit("wrk makes the load, and it is not installed: apt-get install wrk")
    seconds, rounds = (2, 2) if options.quick else (options.seconds, options.rounds)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with serving(ours(folder, "serve", 1), folder) as served:
            ready_s, idle_mb = served.ready_s, served.idle_mb
        one = stack.enter_context(serving(ours(folder, "web", 1), folder))
        web = stack.enter_context(serving(ours(folder, "web", PROCESSES), folder))
        running = [replace(one, ready_s=ready_s, idle_mb=idle_mb), web]
        for contestant in () if options.quick else PEERS:
            reason = missing(contestant)
            if reason:
                print(f"{contestant.name} is left out: {reason}")
            else:
                running.append(stack.enter_context(serving(contestant, folder)))
        loads = in_turn(running, seconds, rounds)
        own = alone(web, folder, seconds, rounds)
    report(running, loads, own)


def ours(folder: Path, command: str, processes: int) -> Contestant:
    """`retouch serve` or `retouch web`, on a data folder of its own."""
    return Contestant(
        ONE if processes == 1 else MANY,
        (),
        (
            *(sys.executable, "-m", "retouch.cli", command, "--port", "{port}"),
            *("--data", str(folder / f"{command}-{processes}"), "--weights", "toy"),
            *("--web-processes", str(processes)),
            *("--max-queued", "10000000"),  # counted at each create, and never full
        ),
        "/readyz" if command == "serve" else "/livez",  # without a worker it is not ready
        CREATE,
        '{"input": {"prompt": "make it night @@"}}',
    )


# -- load ------------------------------------------------------------------------------------------


def in_turn(running: Sequence[Running], seconds: float, rounds: int) -> dict[str, list[Load]]:
    """Creates at each server, one server after the other, round by round."""
    loads: dict[str, list[Load]] = {it.name: [] for it in running}
    for it in running:
        measured(wrk(it.url + it.path, 1.0, "body", it.body))  # warm
    for _ in range(rounds):
        for it in running:
            loads[it.name].append(measured(wrk(it.url + it.path, seconds, "body", it.body)))
    return loads


def alone(web: Running, folder: Path, seconds: float, rounds: int) -> Mapping[str, float]:
    """What only ours does: reads while creates go on, and creates with a picture."""
    paths = folder / "paths"
    with urllib.request.urlopen(f"{web.url}/v1/predictions") as page:  # noqa: S310  our own
        ids = [it["id"] for it in json.load(page)["results"]]
    paths.write_text("".join(f"/v1/predictions/{id}\n" for id in ids))
    picture = base64.b64encode(os.urandom(IMAGE_BYTES)).decode()
    with_picture = folder / "picture.json"
    fields = {"prompt": "make it night @@", "input_image": f"data:image/png;base64,{picture}"}
    with_picture.write_text(json.dumps({"input": fields}))
    reads, flooded, pictures = [], [], []
    for _ in range(rounds):
        reads.append(read_beside(web, paths, seconds, PACE_PER_S))
        flooded.append(read_beside(web, paths, seconds, None))
        sent = measured(wrk(web.url + web.path, seconds, "body", with_picture))
        pictures.append(sent.per_s)
    return {
        "reads_per_s": median(read for read, _ in reads),
        "creates_beside_reads_per_s": median(created for _, created in reads),
        "flooded_reads_per_s": median(read for read, _ in flooded),
        "creates_beside_flooded_reads_per_s": median(created for _, created in flooded),
        "image_creates_per_s": median(pictures),
    }


def read_beside(
    web: Running, paths: Path, seconds: float, creates_per_s: int | None
) -> tuple[float, float]:
    """Reads a second beside so many creates, or as many as are taken; and the creates a second."""
    half = CONNECTIONS // 2
    creating = wrk(web.url + web.path, seconds, "body", web.body, half, creates_per_s)
    reading = wrk(web.url + "/", seconds, "paths", paths, half)
    return measured(reading).per_s, measured(creating).per_s


# -- report ----------------------------------------------------------------------------------------


def report(
    running: Sequence[Running], loads: Mapping[str, Sequence[Load]], own: Mapping[str, float]
) -> None:
    """The table, the aims, and the JSON line."""
    print(
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; load made by wrk; "
        f"Python {platform.python_version()}\n"
    )
    print(
        f"{'':<10}{'ready s':>9}{'idle MB':>9}{'good/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'refused':>9}"
    )
    rates = {}
    for it in running:
        of = loads[it.name]
        rates[it.name] = median(load.per_s for load in of)
        p50, p99 = median(load.p50_ms for load in of), median(load.p99_ms for load in of)
        refused = sum(load.refused for load in of)
        print(
            f"{it.name:<10}{it.ready_s:>9.2f}{it.idle_mb:>9.0f}{rates[it.name]:>9.0f}"
            f"{p50:>9.1f}{p99:>9.1f}{refused:>9}"
        )
    print(
        f"\n{MANY}: {own['reads_per_s']:.0f} reads/s beside "
        f"{own['creates_beside_reads_per_s']:.0f} creates/s, {own['flooded_reads_per_s']:.0f} "
        f"beside {own['creates_beside_flooded_reads_per_s']:.0f}, as many as it takes"
    )
    one, mine = rates.pop(ONE), rates.pop(MANY)
    figures: dict[str, float] = {
        "creates_per_s": mine,
        "create_p99_ms": median(load.p99_ms for load in loads[MANY]),
        "one_process_creates_per_s": one,
        "one_process_create_p99_ms": median(load.p99_ms for load in loads[ONE]),
        **own,
        **{f"times_{name.lower()}": mine / rate for name, rate in rates.items()},
        **{f"one_process_times_{name.lower()}": one / rate for name, rate in rates.items()},
        "ready_s": running[0].ready_s,
        "idle_mb": running[0].idle_mb,
        "broken": sum(load.broken for name in (ONE, MANY) for load in loads[name]),
    }
    tell({name: round(value, 2) for name, value in figures.items()}, AIMS)


if __name__ == "__main__":
    main()
