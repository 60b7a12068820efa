"""What a verb of the store costs when the table is long, against a short one.

    python bench/growth.py [--rows 1000000] [--quick]

Two SQLite files of one machine, with 1,000 finished predictions and with many more, each with its
event. Both are asked in turn, a verb at a time, so that whatever else the machine does falls on
both alike; the figures are medians. A round creates a prediction, reads it, lists its owner's
newest, claims it, and ends it (which is not timed). `--quick` has 50,000 rows. Prints a table and,
last, one JSON object; exits 1 when a verb costs more than 1.5 times as much.
"""

import argparse
import asyncio
import json
import sqlite3
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable
from pathlib import Path
from statistics import median
from typing import TypeVar

from retouch.domain.edit import Edit
from retouch.domain.prediction import Fence, Output, Prediction, Succeed
from retouch.store import SqlStore, migrate
from retouch.store.rows import to_json

FEW = 1000
OWNERS = 10
LIMIT = 1.5
OUTPUT = Output("outputs/picture", "image/png", 512, 512, 300_000)
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="in the long table")
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--quick", action="store_true", help="50,000 rows and fewer rounds")
    options = parser.parse_args()
    rows, rounds = (50_000, 100) if options.quick else (options.rows, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        costs = asyncio.run(measure(Path(folder), {"short": FEW, "long": rows}, rounds))
    ratios = {verb: of["long"] / of["short"] for verb, of in costs.items()}
    print(f"{'':<8}{FEW:>12,} rows{rows:>12,} rows{'ratio':>8}")
    for verb, of in costs.items():
        print(f"{verb:<8}{of['short']:>14.2f} ms{of['long']:>14.2f} ms{ratios[verb]:>8.2f}")
    print(json.dumps({"rows": rows, **{verb: round(it, 2) for verb, it in ratios.items()}}))
    if max(ratios.values()) > LIMIT:
        raise SystemExit(1)


async def measure(folder: Path, sizes: dict[str, int], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each verb on each table."""
    stores = {}
    for name, rows in sizes.items():
        path, started = folder / f"{name}.db", time.monotonic()
        await migrate(f"sqlite:///{path}")
        fill(path, rows)
        stores[name] = SqlStore(f"sqlite:///{path}", pool_size=1)
        await stores[name].start()
        print(f"{rows:,} rows in {time.monotonic() - started:.0f} s", flush=True)
    took: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(rounds):
        for name, store in stores.items():
            for verb, seconds in (await one_round(store, number)).items():
                took[verb][name].append(seconds * 1000)
    for store in stores.values():
        await store.stop()
    return {verb: {name: median(of[name]) for name in of} for verb, of in took.items()}


async def one_round(store: SqlStore, number: int) -> dict[str, float]:
    """Seconds that each verb took."""
    it = prediction(f"new{number}", f"owner{number % OWNERS}", time.time())
    _, create = await timed(store.add(it))
    found, status = await timed(store.get(it.id, owner=it.owner))
    page, listing = await timed(store.page(it.owner, limit=20))
    claimed, claim = await timed(store.claim("bench", limit=1, lease_s=60.0))
    if found is None or page[0].id != it.id or [one.id for one in claimed] != [it.id]:
        raise RuntimeError("the store lost what was just added")
    await store.advance(it.id, Succeed((), {}), fence=Fence("bench", claimed[0].attempt))
    return {"create": create, "status": status, "list": listing, "claim": claim}


async def timed(verb: Awaitable[T]) -> tuple[T, float]:
    started = time.perf_counter()
    result = await verb
    return result, time.perf_counter() - started


def prediction(id: str, owner: str, created_at: float) -> Prediction:
    return Prediction(
        id=id,
        owner=owner,
        protocol="replicate",
        model="black-forest-labs/flux-kontext-pro",
        input={"prompt": "make it night"},
        edit=Edit(prompt="make it night"),
        created_at=created_at,
    )


def fill(path: Path, rows: int) -> None:
    """So many predictions of the last month, all over, each with its event, in one transaction."""
    with sqlite3.connect(path) as connection:
        connection.execute(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
            INSERT INTO predictions (
                id, owner, protocol, model, input, edit, fingerprint, created_at, status, priority,
                cost, tag, attempt, logs, outputs, metrics, started_at, completed_at
            )
            SELECT
                printf('%026x', i * 7919 % 1000003 * 1000003 + i), 'owner' || (i % :owners),
                'replicate', 'black-forest-labs/flux-kontext-pro', '{"prompt":"make it night"}',
                '{"prompt":"make it night"}', printf('%064x', i), :now - 2.5 * (:rows - i) - 60,
                'succeeded', 0, 1.0, 0.0, 1, '',
                :outputs, '{}', :now - 2.5 * (:rows - i) - 50, :now - 2.5 * (:rows - i) - 40
            FROM n
            """,
            {"rows": rows, "owners": OWNERS, "now": time.time(), "outputs": to_json((OUTPUT,))},
        )
        connection.execute(
            "INSERT INTO events (prediction_id, name, at, data)"
            " SELECT id, 'created', created_at, '{}' FROM predictions"
        )
    connection.close()


if __name__ == "__main__":
    main()
