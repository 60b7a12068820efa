"""Which processes are up, and how long the queue has waited."""

from retouch.domain.prediction import Cancel
from retouch.ports import Enlisted, ProcessKind

WEB, WORKER = ProcessKind.WEB, ProcessKind.WORKER


async def test_a_process_is_enlisted_as_it_told_last_until_it_is_struck(lab):
    a, b = Enlisted("a", WEB, "figures of a"), Enlisted("b", WORKER, "new")
    await lab.store.enlist(Enlisted("b", WEB, "old"))
    await lab.store.enlist(a)
    await lab.store.enlist(b)

    assert await lab.store.enlisted(within_s=60) == [a, b]

    await lab.store.strike("b")
    await lab.store.strike("nobody")

    assert await lab.store.enlisted(within_s=60) == [a]


async def test_a_process_that_is_silent_is_left_out_and_at_last_forgotten(lab):
    a = Enlisted("a", WORKER, "")
    await lab.store.enlist(a)

    assert await lab.store.enlisted(within_s=-1) == []

    await lab.store.strike_silent(for_s=60)
    assert await lab.store.enlisted(within_s=60) == [a]

    await lab.store.strike_silent(for_s=-1)
    assert await lab.store.enlisted(within_s=60) == []


async def test_the_oldest_wait_is_that_of_the_longest_queued(lab):
    assert await lab.store.oldest_wait_s() is None

    first = await lab.add()
    await lab.add(created_at=first.created_at + 3_600)
    alone = await lab.store.oldest_wait_s()
    await lab.store.advance(first.id, Cancel("ada"))
    left = await lab.store.oldest_wait_s()

    assert alone > left > 1_000_000  # they were made in January 1970
    assert 3_000 < alone - left < 3_601
