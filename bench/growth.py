"""What a verb of the store costs when the table is long, against a short one.

    python bench/growth.py [--rows 1000000] [--databases sqlite,postgres] [--quick]

Two databases of each kind, with 1,000 finished predictions and with many more, each with its
event: SQLite files, and databases of a throwaway PostgreSQL server (where its binaries are
installed) that does not wait for the disk, so that nothing hides behind that. Both are asked in
turn, a verb at a time, so that whatever else the machine does falls on both alike; the figures are
medians. A round creates a prediction, reads it, lists its owner's newest, claims it, and ends it
(which is not timed). `--quick` has 50,000 rows. Prints a table and, last, one JSON object; exits 1
when a verb costs more than 1.5 times as much.
"""

import argparse
import asyncio
import sqlite3
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

import asyncpg
from shared.aims import Aim, tell
from shared.postgres import NotInstalled, throwaway

from retouch.domain.edit import Edit
from retouch.domain.prediction import Fence, Output, Prediction, Succeed
from retouch.store import SqlStore, migrate
from retouch.store.rows import to_json

FEW = 1000
OWNERS = 10
AIMS = tuple(Aim(f"*{verb}", "<=", 1.5) for verb in ("create", "status", "list", "claim"))
OUTPUT = Output("outputs/picture", "image/png", 512, 512, 300_000)
T = TypeVar("T")
Costs = dict[str, dict[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="in the long table")
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--databases", default="sqlite,postgres")
    parser.add_argument("--quick", action="store_true", help="50,000 rows and fewer rounds")
    options = parser.parse_args()
    rows, rounds = (50_000, 100) if options.quick else (options.rows, options.rounds)
    found: dict[str, float] = {}
    for kind, measure in (("sqlite", on_sqlite), ("postgres", on_postgres)):
        if kind not in options.databases.split(","):
            continue
        try:
            costs = measure({"short": FEW, "long": rows}, rounds)
        except NotInstalled as reason:
            print(f"{kind}: {reason}")
            continue
        prefix = "" if kind == "sqlite" else f"{kind}_"
        found |= {f"{prefix}{verb}": ratio for verb, ratio in show(kind, costs, rows).items()}
    if not tell({"rows": rows, **{verb: round(it, 2) for verb, it in found.items()}}, AIMS):
        raise SystemExit(1)


def show(kind: str, costs: Costs, rows: int) -> dict[str, float]:
    """Print one database's costs; how many times as much each verb costs on the long table."""
    ratios = {verb: of["long"] / of["short"] for verb, of in costs.items()}
    print(f"{kind:<10}{FEW:>12,} rows{rows:>12,} rows{'ratio':>8}")
    for verb, of in costs.items():
        print(f"{verb:<10}{of['short']:>14.2f} ms{of['long']:>14.2f} ms{ratios[verb]:>8.2f}")
    return ratios


def on_sqlite(sizes: dict[str, int], rounds: int) -> Costs:
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, f"{name}.db") for name in sizes}
        for name, rows in sizes.items():
            asyncio.run(migrate(f"sqlite:///{paths[name]}"))
            filled(rows, partial(fill_sqlite, paths[name]))
        urls = {name: f"sqlite:///{path}" for name, path in paths.items()}
        return asyncio.run(measure(urls, rounds))


def on_postgres(sizes: dict[str, int], rounds: int) -> Costs:
    with throwaway() as server:
        urls = {name: server.fresh() for name in sizes}
        for name, rows in sizes.items():
            filled(rows, partial(fill_postgres, urls[name]))
        return asyncio.run(measure(urls, rounds))


def filled(rows: int, fill: Callable[[int], None]) -> None:
    started = time.monotonic()
    fill(rows)
    print(f"{rows:,} rows in {time.monotonic() - started:.0f} s", flush=True)


async def measure(urls: dict[str, str], rounds: int) -> Costs:
    """Milliseconds of each verb on each table."""
    stores = {name: SqlStore(url, pool_size=1) for name, url in urls.items()}
    for store in stores.values():
        await store.start()
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


COLUMNS = (
    "id, owner, protocol, model, input, edit, fingerprint, created_at, status, priority, "
    "cost, tag, attempt, logs, outputs, metrics, started_at, completed_at"
)
ROW = """
    {id}, 'owner' || (i % {owners}), 'replicate', 'black-forest-labs/flux-kontext-pro',
    '{{"prompt":"make it night"}}', '{{"prompt":"make it night"}}', {fingerprint},
    {now} - 2.5 * ({rows} - i) - 60, 'succeeded', 0, 1.0, 0.0, 1, '', '{outputs}', '{{}}',
    {now} - 2.5 * ({rows} - i) - 50, {now} - 2.5 * ({rows} - i) - 40
"""
EVENTS = (
    "INSERT INTO events (prediction_id, name, at, data)"
    " SELECT id, 'created', created_at, '{}' FROM predictions"
)
MIXED = "i * 7919 % 1000003 * 1000003 + i"
"""Ids in another order than age."""


def fill_sqlite(path: Path, rows: int) -> None:
    """So many predictions of the last month, all over, each with its event, in one transaction."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
    row = of_row(rows, id=f"printf('%026x', {MIXED})", fingerprint="printf('%064x', i)")
    with sqlite3.connect(path) as connection:
        connection.execute(
            f"{numbers.format(rows=rows)} INSERT INTO predictions ({COLUMNS})"  # noqa: S608  ours
            f" SELECT {row} FROM n"
        )
        connection.execute(EVENTS)
    connection.close()


def fill_postgres(url: str, rows: int) -> None:
    """The same on PostgreSQL."""
    asyncio.run(_fill_postgres(url, rows))


async def _fill_postgres(url: str, rows: int) -> None:
    """The same, and what autovacuum would do after it within a minute."""
    row = of_row(rows, id=f"lpad(to_hex({MIXED}), 26, '0')", fingerprint="lpad(to_hex(i), 64, '0')")
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            f"INSERT INTO predictions ({COLUMNS})"  # noqa: S608  ours
            f" SELECT {row} FROM generate_series(1::bigint, {rows}) AS n(i)",
            timeout=3600,
        )
        await connection.execute(EVENTS, timeout=3600)
        await connection.execute("VACUUM ANALYZE", timeout=3600)
    finally:
        await connection.close()


def of_row(rows: int, **own: str) -> str:
    """The values of row i, with a database's own functions."""
    return ROW.format(owners=OWNERS, now=time.time(), rows=rows, outputs=to_json((OUTPUT,)), **own)


if __name__ == "__main__":
    main()
