"""Group commit, asked without a database."""

import asyncio

import pytest

from retouch.domain.errors import Busy
from retouch.store.batch import Batcher, Looks


class Disk:
    """Remembers each commit; holds the first until told."""

    def __init__(self, bad=(), error=ValueError, refused=()):
        self.commits = []
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()
        self._bad, self._error, self._refused = bad, error, refused

    async def commit(self, items):
        self.begun.set()
        await self.gate.wait()
        if set(items) & set(self._bad):
            raise self._error(f"bad: {items}")
        self.commits.append([item for item in items if item not in self._refused])
        return {n: Busy("full") for n, item in enumerate(items) if item in self._refused}


async def test_what_arrives_during_a_commit_shares_the_next():
    disk = Disk()
    batcher = Batcher(disk.commit)
    first = asyncio.create_task(batcher.submit(0))
    await disk.begun.wait()

    rest = [asyncio.create_task(batcher.submit(number)) for number in range(1, 10)]
    await asyncio.sleep(0)
    disk.gate.set()
    await asyncio.gather(first, *rest)

    assert disk.commits == [[0], list(range(1, 10))]


async def test_nobody_returns_before_their_commit():
    disk = Disk()
    batcher = Batcher(disk.commit)

    task = asyncio.create_task(batcher.submit(0))
    await disk.begun.wait()

    assert not task.done()
    disk.gate.set()
    await task


async def test_a_bad_item_fails_alone():
    disk = Disk(bad=[2])
    disk.gate.set()
    batcher = Batcher(disk.commit)

    outcomes = await asyncio.gather(*map(batcher.submit, range(4)), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [type(None)] * 2 + [ValueError, type(None)]
    assert disk.commits == [[0], [1], [3]]


async def test_what_a_commit_refuses_fails_alone_in_one_commit():
    disk = Disk(refused=[1, 3])
    disk.gate.set()
    batcher = Batcher(disk.commit)

    outcomes = await asyncio.gather(*map(batcher.submit, range(4)), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [type(None), Busy] * 2
    assert disk.commits == [[0, 2]]


async def test_an_outage_fails_the_batch_without_trying_each():
    disk = Disk(bad=[2], error=Busy)
    disk.gate.set()
    batcher = Batcher(disk.commit)

    outcomes = await asyncio.gather(*map(batcher.submit, range(4)), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [Busy] * 4
    assert disk.commits == []


async def test_who_gives_up_early_is_left_out():
    disk = Disk()
    batcher = Batcher(disk.commit)
    first = asyncio.create_task(batcher.submit(0))
    await disk.begun.wait()
    early = asyncio.create_task(batcher.submit(1))
    late = asyncio.create_task(batcher.submit(2))
    await asyncio.sleep(0)

    early.cancel()
    disk.gate.set()
    await asyncio.gather(first, late)

    assert disk.commits == [[0], [2]]
    with pytest.raises(asyncio.CancelledError):
        await early


async def test_stop_waits_for_what_was_submitted():
    disk = Disk()
    batcher = Batcher(disk.commit)
    task = asyncio.create_task(batcher.submit(0))
    await disk.begun.wait()

    disk.gate.set()
    await batcher.stop()

    assert disk.commits == [[0]]
    await task


async def test_a_large_crowd_is_cut_into_batches():
    disk = Disk()
    disk.gate.set()
    batcher = Batcher(disk.commit, limit=3)

    await asyncio.gather(*map(batcher.submit, range(7)))

    assert disk.commits == [[0, 1, 2], [3, 4, 5], [6]]


class Shelf:
    """Remembers each look; holds the first until told."""

    def __init__(self, **things):
        self.things, self.looks = things, []
        self.gate, self.begun = asyncio.Event(), asyncio.Event()

    async def look_up(self, keys):
        self.looks.append(sorted(keys))
        self.begun.set()
        await self.gate.wait()
        return {key: self.things[key] for key in keys if key in self.things}


async def test_what_is_asked_during_a_look_shares_the_next():
    shelf = Shelf(a=1, b=2)
    looks = Looks(shelf.look_up)
    first = asyncio.create_task(looks.get("a"))
    await shelf.begun.wait()

    rest = [asyncio.create_task(looks.get(key)) for key in "aabc"]
    await asyncio.sleep(0)
    shelf.gate.set()

    assert await asyncio.gather(first, *rest) == [1, 1, 1, 2, None]
    assert shelf.looks == [["a"], ["a", "b", "c"]]


async def test_a_look_that_fails_fails_for_all_and_the_next_is_made():
    shelf = Shelf(a=1)
    shelf.gate.set()
    looks = Looks(shelf.look_up)
    shelf.things, things = None, shelf.things

    failed = await asyncio.gather(looks.get("a"), looks.get("b"), return_exceptions=True)
    shelf.things = things

    assert [type(it) for it in failed] == [TypeError, TypeError]
    assert await looks.get("a") == 1


async def test_who_gives_up_keeps_nobody_from_the_answer():
    shelf = Shelf(a=1)
    looks = Looks(shelf.look_up)
    impatient, patient = (asyncio.create_task(looks.get("a")) for _ in range(2))
    await shelf.begun.wait()
    impatient.cancel()
    shelf.gate.set()

    assert await patient == 1
