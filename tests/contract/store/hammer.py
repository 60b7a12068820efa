"""The hands of the hammer test: `hammer.py URL FOLDER TOTAL`.

Forks two processes that create TOTAL predictions, five that claim and finish until all are over,
and one that claims some and is gone without a word; says `died` when it is. Each leaves what it
did in FOLDER as JSON.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from retouch.domain.edit import Edit
from retouch.domain.prediction import Fence, Prediction, Succeed
from retouch.store import SqlStore

LEASE_S = 60


async def create(store: SqlStore, name: str, total: int) -> list[str]:
    """Add half of `total` predictions, eight at a time; their ids."""
    made = [f"{name}-{number}" for number in range(total // 2)]
    waiting = iter(made)

    async def one_by_one() -> None:
        for id in waiting:
            await store.add(_prediction(id, owner=name))

    await asyncio.gather(*(one_by_one() for _ in range(8)))
    return made


async def work(store: SqlStore, name: str, total: int) -> list[tuple[str, int]]:
    """Claim and finish until `total` predictions are over; what this process finished."""
    won = []
    while True:
        claimed = await store.claim(name, limit=4, lease_s=LEASE_S)
        await store.beat(name, {p.id: (p.attempt, None) for p in claimed}, lease_s=LEASE_S)
        for prediction in claimed:
            fence = Fence(name, prediction.attempt)
            if await store.advance(prediction.id, Succeed((), {}), fence=fence):
                won.append((prediction.id, prediction.attempt))
        if not claimed:
            if await _over(store, total):
                return won
            await store.changed(0.1)


async def die(store: SqlStore, name: str, total: int) -> list[str]:
    """Claim something, and be gone before anything is tidied up; the ids."""
    while not (claimed := await store.claim(name, limit=3, lease_s=LEASE_S)):
        if await _over(store, total):
            break
        await store.changed(0.1)
    return [p.id for p in claimed]


async def _over(store: SqlStore, total: int) -> bool:
    if any((await store.depth()).values()):
        return False
    return len(await store.page(None, limit=total)) == total


def _prediction(id: str, owner: str) -> Prediction:
    edit = Edit(prompt="make it snow")
    return Prediction(
        id=id, owner=owner, protocol="fal", model="m", input={}, edit=edit, created_at=1.0
    )


ROLES = {"create": create, "work": work, "die": die}
HANDS = ["create0", "create1", "work0", "work1", "work2", "work3", "work4", "die0"]


async def play(name: str, url: str, folder: Path, total: int) -> None:
    """Play the role that `name` begins with."""
    store = SqlStore(url)
    await store.start()
    done = await ROLES[name.rstrip("0123456789")](store, name, total)
    (folder / f"{name}.json").write_text(json.dumps(done))
    if name.startswith("die"):
        os._exit(9)
    await store.stop()


def main(url: str, folder: str, total: str) -> None:
    """Fork every hand and wait for them."""
    children = {}
    for name in HANDS:
        child = os.fork()
        if child == 0:
            asyncio.run(play(name, url, Path(folder), int(total)))
            os._exit(0)
        children[child] = name
    os.waitpid(list(children)[-1], 0)
    print("died", flush=True)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in list(children)[:-1]]
    sys.exit(any(codes))


if __name__ == "__main__":
    main(*sys.argv[1:])
