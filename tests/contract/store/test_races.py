"""Many hands at once: every prediction ends exactly once and none is left behind."""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from retouch.domain.prediction import Cancel, Fence, Succeed

DONE = Succeed((), {})
HAMMER = Path(__file__).with_name("hammer.py")


async def names(store, id):
    return [event.name for event in await store.events(id)]


async def test_many_claimers_never_share_a_prediction(lab):
    for _ in range(60):
        await lab.add()
    stores = [lab.store, *[await lab.another() for _ in range(3)]]

    async def claim_until_empty(store, worker):
        mine = []
        while claimed := await store.claim(worker, limit=3, lease_s=60):
            assert len(claimed) <= 3
            mine += [p.id for p in claimed]
        return mine

    hands = (claim_until_empty(stores[n % 4], f"w{n}") for n in range(12))
    claimed = [id for mine in await asyncio.gather(*hands) for id in mine]

    # SKIP LOCKED may show a claimer an empty queue for a moment; what is left is still queued.
    claimed += await claim_until_empty(lab.store, "last")
    assert len(claimed) == len(set(claimed)) == 60


async def test_cancel_and_finish_race_to_exactly_one_winner(lab):
    other = await lab.another()
    ids = [(await lab.add()).id for _ in range(20)]
    await lab.store.claim("w", limit=20, lease_s=60)

    async def race(id):
        return await asyncio.gather(
            lab.store.advance(id, DONE, fence=Fence("w", 1)),
            other.advance(id, Cancel("ada")),
        )

    outcomes = await asyncio.gather(*map(race, ids))

    for id, (finished, canceled) in zip(ids, outcomes, strict=True):
        (winner,) = [p for p in (finished, canceled) if p is not None]
        assert await lab.store.get(id) == winner
        assert await names(lab.store, id) == ["created", "started", winner.status.value]


async def test_twenty_cancels_of_one_prediction_record_one(lab):
    other = await lab.another()
    made = await lab.add()

    outcomes = await asyncio.gather(
        *(store.advance(made.id, Cancel("ada")) for store in [lab.store, other] * 10)
    )

    assert outcomes.count(None) == 19
    assert await names(lab.store, made.id) == ["created", "canceled"]


async def test_a_frozen_worker_that_comes_back_writes_nothing(lab):
    await lab.add("a")
    await lab.store.claim("frozen", limit=1, lease_s=0)
    await lab.store.release()
    (second,) = await lab.store.claim("second", limit=1, lease_s=60)

    beat = await lab.store.beat("frozen", {"a": (1, None)}, lease_s=60)
    late = await lab.store.advance("a", DONE, fence=Fence("frozen", 1))

    assert beat.lost == {"a"}
    assert late is None
    assert await lab.store.get("a") == second
    assert await lab.store.advance("a", DONE, fence=Fence("second", 2)) is not None
    steps = ["created", "started", "requeued", "started", "succeeded"]
    assert await names(lab.store, "a") == steps


async def test_a_worker_is_fenced_from_its_own_earlier_attempt(lab):
    await lab.add("a")
    await lab.store.claim("w", limit=1, lease_s=0)
    await lab.store.release()
    await lab.store.claim("w", limit=1, lease_s=0)

    beat = await lab.store.beat("w", {"a": (1, None)}, lease_s=60)

    assert beat.lost == {"a"}
    assert await lab.store.advance("a", DONE, fence=Fence("w", 1)) is None
    assert len(await lab.store.release()) == 1  # the stale beat did not renew attempt 2


async def test_a_claim_during_a_beat_is_neither_lost_nor_renewed_for_ever(lab):
    await lab.add("old")
    await lab.store.claim("w", limit=1, lease_s=60)
    await lab.add("new")
    snapshot = {"old": (1, None)}
    answered = asyncio.Event()

    async def slow_beat():
        beat = await lab.store.beat("w", snapshot, lease_s=60)
        await answered.wait()
        return beat

    beating = asyncio.create_task(slow_beat())
    (claimed,) = await lab.store.claim("w", limit=1, lease_s=0)
    answered.set()
    beat = await beating
    await lab.store.beat("w", snapshot, lease_s=60)

    assert claimed.id == "new"
    assert not beat.canceled | beat.lost
    assert [p.id for p in await lab.store.release()] == ["new"]


async def test_beats_claims_and_releases_of_the_same_rows_never_deadlock(lab):
    other = await lab.another()
    for _ in range(30):
        await lab.add()
    held = {p.id: (1, None) for p in await lab.store.claim("w", limit=30, lease_s=60)}

    async with asyncio.timeout(30):
        for _ in range(5):
            await asyncio.gather(
                lab.store.beat("w", held, lease_s=60),
                other.beat("w", dict(reversed(held.items())), lease_s=60),
                other.release(),
                lab.store.release("nobody"),
                *(lab.store.advance(id, Cancel("ada")) for id in list(held)[:3]),
            )
        await asyncio.gather(
            lab.store.beat("w", held, lease_s=60), other.release("w"), lab.store.release("w")
        )

    assert await lab.store.depth() == {"queued": 27, "running": 0}


async def test_two_processes_add_for_one_owner_and_the_queue_stays_fair(lab):
    other = await lab.another()

    await asyncio.gather(*(store.add(lab.make(owner="ada")) for store in [lab.store, other] * 20))
    await lab.add("new", owner="newcomer")

    assert await lab.store.position("new") <= 2


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
async def test_eight_processes_hammer_and_every_prediction_ends_once(lab, tmp_path):
    total = 160
    hammer = await asyncio.create_subprocess_exec(
        sys.executable, HAMMER, lab.url, tmp_path, str(total), stdout=asyncio.subprocess.PIPE
    )

    assert await hammer.stdout.readline() == b"died\n"
    freed = await lab.store.release("die0")
    assert await hammer.wait() == 0

    results = {file.stem: json.loads(file.read_text()) for file in tmp_path.glob("*.json")}
    dropped = results["die0"]
    created = results["create0"] + results["create1"]
    finished = [done for name, part in results.items() if "work" in name for done in part]
    assert sorted(p.id for p in freed) == sorted(dropped)
    assert len(created) == len(set(created)) == total
    assert Counter(id for id, _ in finished) == Counter(created)
    assert dict(finished) == {id: 2 if id in dropped else 1 for id in created}
    assert set((await lab.store.statuses(created)).values()) == {"succeeded"}
    for id in created:
        lost = ["started", "requeued"] * (id in dropped)
        assert await names(lab.store, id) == ["created", *lost, "started", "succeeded"]
