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
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from shared.aims import Aim, tell
from shared.callers import CREATORS, Creators, Receiver
from shared.postgres import NotInstalled, throwaway
from shared.site import Site
from shared.watching import FINAL_NAMES, finished

from retouch.bootstrap.parts import open_blobs, open_store
from retouch.domain.errors import NotFound
from retouch.domain.prediction import Prediction, Status
from retouch.ports import Blobs, Cursor, DeliveryState, Store

KINDS = ("web", "sibling", "hang", "worker", "decoder", "disk", "freeze")
BACKLOG = 96  # a round begins when no more than this many are unfinished
SETTLE_S = 300.0
AIMS = (Aim("violations.*", "<=", 0), Aim("exit_status", "<=", 0))


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
